//! E-mail and password for a token.

use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use super::Rest;
use super::exchange::Call;
use crate::engine::input::{Failure, FailureKind};
use crate::server::token::Claims;
use crate::server::wire::answer;

/// What signs somebody in.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The e-mail address.
    pub email: String,
    /// The password.
    pub password: SecretString,
}

/// What signing in brings.
#[derive(Clone, Debug)]
pub struct SignedIn {
    /// The token, a readable JWT.
    pub token: SecretString,
    /// Staff only: renews the token. Servers of today refuse it.
    pub refresh_token: Option<SecretString>,
    /// The tenant in lower case: the token's, else that of the answer.
    pub tenant: Option<String>,
}

impl Rest {
    /// Signs in as a customer, and as staff when that is refused with 401. With a refresh token, that is tried before the password.
    ///
    /// # Errors
    /// The failure of the last attempt; that of the customer login when both were refused with 401, since the staff login answers 401
    /// whatever goes wrong. [`FailureKind::NoToken`] when e-mail or password is missing: the server takes a login without e-mail as that of
    /// the first customer, so such a one is never sent.
    pub async fn sign_in(&self, credentials: &Credentials, refresh_token: Option<&SecretString>) -> Result<SignedIn, Failure> {
        let email = credentials.email.trim();
        if email.is_empty() || credentials.password.expose_secret().is_empty() {
            let detail = "signing in needs both an e-mail address and a password, so nothing was sent; give both".to_owned();
            return Err(Failure { kind: FailureKind::NoToken, detail });
        }
        if let Some(refresh_token) = refresh_token
            && let Ok(renewed) = self.refresh(refresh_token).await
        {
            return Ok(renewed);
        }
        let password = &credentials.password;
        let refused = match self.login("api/customers/login", email, password).await {
            Err(failure) if is_unauthorized(&failure) => failure,
            outcome => return outcome,
        };
        match self.login("api/auth/login", email, password).await {
            Err(failure) if is_unauthorized(&failure) => Err(refused),
            outcome => outcome,
        }
    }

    async fn login(&self, route: &'static str, email: &str, password: &SecretString) -> Result<SignedIn, Failure> {
        let body = serde_json::to_vec(&json!({ "email": email, "password": password.expose_secret() }));
        self.token_from(Call::with_secret("signing in", route, body, password.clone())?).await
    }

    async fn refresh(&self, refresh_token: &SecretString) -> Result<SignedIn, Failure> {
        let body = serde_json::to_vec(&json!({ "refreshToken": refresh_token.expose_secret() }));
        self.token_from(Call::with_secret("renewing the token", "api/auth/refresh", body, refresh_token.clone())?).await
    }

    async fn token_from(&self, call: Call) -> Result<SignedIn, Failure> {
        let body = self.exchange.whole(&call, self.exchange.limits.login_answer_bytes).await?;
        let answer = answer::login(&body).map_err(|what| call.not_ours(&what))?;
        let claims = Claims::of(&answer.token).map_err(|error| call.not_ours(&error.to_string()))?;
        Ok(SignedIn { token: answer.token, refresh_token: answer.refresh_token, tenant: claims.tenant.or(answer.tenant) })
    }
}

const fn is_unauthorized(failure: &Failure) -> bool {
    matches!(failure.kind, FailureKind::Status { status: 401, .. })
}
