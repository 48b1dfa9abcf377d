//! Only here local sockets.
