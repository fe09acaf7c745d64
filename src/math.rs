//! Float functions with one result on every processor.
