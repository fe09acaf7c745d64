//! Our numbers beside the reference's.

mod encoder;
