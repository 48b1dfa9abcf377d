//! JSON web tokens (HS256) as the server mints and checks them.

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde_json::{Value, json};

use crate::stamp::Stamp;

const SECRET: &[u8] = b"adminengine-dev";
const OTHER_SECRET: &[u8] = b"not the secret of this server";
/// 24 h, the life of a real customer token.
const DAY_SECONDS: i64 = 24 * 60 * 60;

/// What a minted token says.
#[derive(Clone, Debug)]
pub struct TokenSpec {
    tenant: Option<String>,
    email: String,
    staff: bool,
    lifetime_seconds: i64,
    wrongly_signed: bool,
}

impl TokenSpec {
    /// A customer's token: `customerId`, valid for 24 h.
    pub fn customer(tenant: &str) -> Self {
        let (tenant, email) = (Some(tenant.to_owned()), "dev@example.com".to_owned());
        Self { tenant, email, staff: false, lifetime_seconds: DAY_SECONDS, wrongly_signed: false }
    }

    /// A staff token: `companyId` in place of `customerId`.
    pub fn staff(company: &str) -> Self {
        Self { staff: true, ..Self::customer(company) }
    }

    /// A valid token that names no tenant.
    pub fn without_tenant() -> Self {
        Self { tenant: None, ..Self::customer("") }
    }

    /// Sets `email`.
    #[must_use]
    pub fn email(self, email: &str) -> Self {
        Self { email: email.to_owned(), ..self }
    }

    /// Sets the life in seconds; zero or less is expired already.
    #[must_use]
    pub fn expires_in(self, seconds: i64) -> Self {
        Self { lifetime_seconds: seconds, ..self }
    }

    /// Expired an hour ago.
    #[must_use]
    pub fn expired(self) -> Self {
        self.expires_in(-3_600)
    }

    /// Signed with another server's secret.
    #[must_use]
    pub fn wrongly_signed(self) -> Self {
        Self { wrongly_signed: true, ..self }
    }

    pub(crate) fn mint(&self, now: Stamp) -> String {
        let issued = now.micros() / 1_000_000;
        let mut claims = json!({ "email": self.email, "type": if self.staff { "staff" } else { "client" } });
        if let Some(tenant) = &self.tenant {
            claims[if self.staff { "companyId" } else { "customerId" }] = json!(tenant);
        }
        claims["iat"] = json!(issued);
        claims["exp"] = json!(issued.saturating_add(self.lifetime_seconds));
        let secret = if self.wrongly_signed { OTHER_SECRET } else { SECRET };
        jsonwebtoken::encode(&Header::default(), &claims, &EncodingKey::from_secret(secret)).unwrap_or_default()
    }
}

/// The claims of a token that this server signed and that has not expired.
pub(crate) fn verify(token: &str, now: Stamp) -> Option<Value> {
    let mut validation = Validation::new(Algorithm::HS256);
    // Expiry is checked below, against the world's clock.
    validation.validate_exp = false;
    validation.required_spec_claims.clear();
    let claims = jsonwebtoken::decode::<Value>(token, &DecodingKey::from_secret(SECRET), &validation).ok()?.claims;
    match claims.get("exp").and_then(Value::as_i64) {
        Some(expiry) if expiry <= now.micros() / 1_000_000 => None,
        _ => Some(claims),
    }
}

/// `companyId || customerId`, as JavaScript reads it.
pub(crate) fn tenant(claims: &Value) -> Option<&str> {
    let id = |name| claims.get(name).and_then(Value::as_str).filter(|id| !id.is_empty());
    id("companyId").or_else(|| id("customerId"))
}
