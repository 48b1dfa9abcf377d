//! Damage done to values of a store that is open.

use super::super::Store;
use super::super::database::{Place, Tree};
use super::super::keys;
use crate::engine::durable::EpochId;

impl Store {
    /// Flips a bit of a record, behind the store's back.
    pub(crate) fn spoil_row(&self, epoch: EpochId, entity_type: &str, id: &str) {
        self.spoil((Tree::Replica, keys::row(epoch, entity_type, id)));
    }

    /// Flips a bit of what stands at a place, behind the store's back.
    pub(super) fn spoil(&self, place: Place) {
        let database = self.database_in_use();
        let mut bytes = database.get(place.0, &place.1).unwrap().expect("a value").to_vec();
        *bytes.last_mut().expect("a value has bytes") ^= 1;
        database.write(&[(place, Some(bytes))].into()).unwrap();
    }
}
