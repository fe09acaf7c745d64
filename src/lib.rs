//! tipcam: an embedded few-shot image classifier for cameras.
//!
//! The rooms follow a frame's way from pixels to an answer:
//! [`frame`] → [`encoder`] (on [`kernels`]) → [`asset`] → [`head`] (made by [`fit`]) → [`decide`] →
//! [`report`]; [`pipeline`] puts them together, [`watch`] is the loop and [`cli`] the commands. What
//! runs after the encoder is `no_std` and never allocates.
#![cfg_attr(not(feature = "std"), no_std)]

#[cfg(target_endian = "big")]
compile_error!("an asset is little-endian and used in place: big-endian targets are not supported");

pub mod asset;
pub mod decide;
pub mod head;
pub mod kernels;
pub mod math;
pub mod project;
pub mod random;
pub mod report;

#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "encoder")]
pub mod encoder;
#[cfg(feature = "fit")]
pub mod fit;
#[cfg(feature = "frame")]
pub mod frame;
#[cfg(all(feature = "encoder", feature = "frame"))]
pub mod lines;
#[cfg(all(feature = "encoder", feature = "frame"))]
pub mod pipeline;
#[cfg(feature = "publish")]
pub mod publish;
#[cfg(feature = "serve")]
pub mod serve;
#[cfg(feature = "state")]
pub mod state;
#[cfg(feature = "tensors")]
pub mod tensors;
#[cfg(feature = "import")]
pub mod text;
#[cfg(all(feature = "encoder", feature = "frame"))]
pub mod watch;
