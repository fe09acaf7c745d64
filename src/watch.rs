//! The camera loop.
