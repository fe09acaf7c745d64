//! The page as programs and people meet it: over HTTP, and in a browser where there is one.

mod api;
mod browser;
mod house;
mod page;
mod safety;
