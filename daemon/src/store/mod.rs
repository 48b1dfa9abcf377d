//! Only here sled.
