//! Who may log in.

use serde::Serialize;
use serde_json::{Value, json};

/// A customer; its id is the tenant id.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Customer {
    pub(crate) id: String,
    pub(crate) email: String,
    #[serde(skip)]
    pub(crate) password: String,
}

impl Customer {
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "id": self.id,
            "name": self.email.split('@').next(),
            "email": self.email,
            "companyName": "Example Ltd",
            "phone": "+441234567890",
            "subscriptionPlan": "basic",
        })
    }
}

/// A staff user of a company.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Staff {
    pub(crate) id: String,
    pub(crate) email: String,
    #[serde(skip)]
    pub(crate) password: String,
    pub(crate) company: String,
}

/// In the order in which they were added: the first customer is the one that a login without `email` finds.
#[derive(Debug, Default)]
pub(crate) struct Accounts {
    pub(crate) customers: Vec<Customer>,
    pub(crate) staff: Vec<Staff>,
    /// Every refresh token given out, with the index of its staff user.
    pub(crate) refresh_tokens: Vec<(String, usize)>,
}
