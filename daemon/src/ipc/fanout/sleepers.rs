//! Subscribers that have read everything and wait for more.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use aesync_protocol::Channel;

use super::filter::Channels;

/// One place for each subscriber. A subscriber that is awake is not in the way of a publisher: however many events come while it works,
/// it is woken once.
#[derive(Debug, Default)]
pub(super) struct Sleepers(Mutex<Places>);

#[derive(Debug, Default)]
struct Places {
    places: Vec<Place>,
    free: Vec<usize>,
}

#[derive(Debug, Default)]
struct Place {
    interest: Channels,
    waker: Option<Waker>,
}

/// A subscriber's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bed(usize);

impl Sleepers {
    pub(super) fn enter(&self, interest: Channels) -> Bed {
        let mut places = self.lock();
        let place = Place { interest, waker: None };
        let index = places.free.pop().unwrap_or(places.places.len());
        match places.places.get_mut(index) {
            Some(free) => *free = place,
            None => places.places.push(place),
        }
        Bed(index)
    }

    pub(super) fn leave(&self, bed: Bed) {
        let mut places = self.lock();
        if let Some(place) = places.places.get_mut(bed.0) {
            *place = Place::default();
            places.free.push(bed.0);
        }
    }

    /// How many subscribers there are.
    pub(super) fn count(&self) -> usize {
        let places = self.lock();
        places.places.len() - places.free.len()
    }

    /// Whether anybody wants events of this channel.
    pub(super) fn want(&self, channel: Channel) -> bool {
        let wanted = Channels::only(channel);
        self.lock().places.iter().any(|place| place.interest.meet(wanted))
    }

    /// Wakes the subscriber at the next event of a channel that it wants. Whoever calls this must look once more for events after it.
    pub(super) fn sleep(&self, bed: Bed, waker: &Waker) {
        if let Some(place) = self.lock().places.get_mut(bed.0)
            && !place.waker.as_ref().is_some_and(|known| known.will_wake(waker))
        {
            place.waker = Some(waker.clone());
        }
    }

    pub(super) fn wake(&self, channel: Channel) {
        let wanted = Channels::only(channel);
        let woken: Vec<Waker> = self
            .lock()
            .places
            .iter_mut()
            .filter(|place| place.interest.meet(wanted))
            .filter_map(|place| place.waker.take())
            .collect();
        woken.into_iter().for_each(Waker::wake);
    }

    fn lock(&self) -> MutexGuard<'_, Places> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
