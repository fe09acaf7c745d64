//! Activations as types.

use super::lanes::{self, Lanes};

/// The expression with the [`Curve`] of an [`Activation`].
macro_rules! with_curve {
    ($activation:expr, |$curve:ident| $body:expr) => {
        match $activation {
            $crate::kernels::Activation::Linear => {
                let $curve = $crate::kernels::curve::Linear;
                $body
            }
            $crate::kernels::Activation::Gated([c, 0.0, 0.0]) => {
                let $curve = $crate::kernels::curve::Swish(c);
                $body
            }
            $crate::kernels::Activation::Gated(c) => {
                let $curve = $crate::kernels::curve::Gated(c);
                $body
            }
            $crate::kernels::Activation::HardSwish => {
                let $curve = $crate::kernels::curve::HardSwish;
                $body
            }
            $crate::kernels::Activation::Sigmoid => {
                let $curve = $crate::kernels::curve::Sigmoid;
                $body
            }
        }
    };
}
pub(super) use with_curve;

/// An [`Activation`] as a type: each has loops of its own, which hold nothing of what the others need.
pub(super) trait Curve: Copy {
    fn of<V: Lanes, const N: usize>(self, x: [V; N]) -> [V; N];

    /// The coefficient, if it is [`Swish`].
    #[inline(always)]
    fn swish(self) -> Option<f32> {
        None
    }
}

macro_rules! curve {
    ($(#[$doc:meta])* $name:ident $(($field:ty))?, |$x:ident $(, $c:ident)?| $y:expr $(, $swish:expr)?) => {
        $(#[$doc])*
        #[derive(Clone, Copy)]
        pub(super) struct $name $((pub(super) $field))?;

        impl Curve for $name {
            #[inline(always)]
            fn of<V: Lanes, const N: usize>(self, $x: [V; N]) -> [V; N] {
                $(let Self($c) = self;)?
                $y
            }

            $(#[inline(always)]
            fn swish(self) -> Option<f32> {
                $swish(self)
            })?
        }
    };
}

curve!(Linear, |x| x);
curve!(
    /// [`Gated`] without what depends on the square.
    Swish(f32), |x, c| lanes::swish(x, c), |Self(c)| Some(c)
);
curve!(Gated([f32; 3]), |x, c| lanes::gated(x, c));
curve!(HardSwish, |x| lanes::hard_swish(x));
curve!(Sigmoid, |x| lanes::sigmoid(x));
