//! Transactions over the durable state.

/// A transaction.
#[derive(Clone, Debug, PartialEq)]
pub struct Txn {}
