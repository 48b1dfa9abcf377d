//! The development server from outside, as the daemon and its tests use it.
#![cfg(test)]

mod control;
mod faults;
mod limits;
mod login;
mod pull;
mod pull_pending;
mod push;
mod restart;
mod socket;
mod support;
