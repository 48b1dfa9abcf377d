//! Only here AdminEngine.
