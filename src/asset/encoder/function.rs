//! Functions of numbers that have no int8 form, and what runs of numbers are reduced to. Each is one
//! fixed sequence of operations, so that all processors give the same bits.

use crate::kernels::Activation;
use crate::math;

/// Functions of one number. The numbers are the file's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Unary {
    /// `x²`
    Square = 1,
    /// `x³`
    Cube = 2,
    /// `√x`
    Sqrt = 3,
    /// `1 / √x`
    Rsqrt = 4,
    /// `1 / x`
    Recip = 5,
    /// The error function.
    Erf = 6,
    /// Hyperbolic tangent.
    Tanh = 7,
    /// `|x|`
    Abs = 8,
    /// `eˣ`
    Exp = 9,
    /// Natural logarithm.
    Ln = 10,
    /// Sine.
    Sin = 11,
    /// Cosine.
    Cos = 12,
    /// The next whole number below.
    Floor = 13,
    /// The next whole number above.
    Ceil = 14,
    /// The nearest whole number, halves to the even one.
    Round = 15,
    /// -1, 0 or 1.
    Sign = 16,
}

/// Functions of two numbers. The numbers are the file's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Binary {
    /// `a + b`
    Add = 1,
    /// `a - b`
    Sub = 2,
    /// `a b`
    Mul = 3,
    /// `a / b`
    Div = 4,
    /// The greater one.
    Max = 5,
    /// The lesser one.
    Min = 6,
    /// `aᵇ`
    Pow = 7,
}

/// What a strided layer computes of the numbers that it reads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Function {
    /// The first number as it is.
    Copy,
    /// An activation of the first number.
    Activate(Activation),
    /// A function of the first number.
    Unary(Unary),
    /// A function of both.
    Binary(Binary),
}

/// What a run of numbers becomes. The numbers are the file's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u32)]
pub enum Reducer {
    /// Their sum.
    #[default]
    Sum = 0,
    /// The greatest.
    Max = 1,
    /// The least.
    Min = 2,
}

const UNARIES: [Unary; 16] = [
    Unary::Square,
    Unary::Cube,
    Unary::Sqrt,
    Unary::Rsqrt,
    Unary::Recip,
    Unary::Erf,
    Unary::Tanh,
    Unary::Abs,
    Unary::Exp,
    Unary::Ln,
    Unary::Sin,
    Unary::Cos,
    Unary::Floor,
    Unary::Ceil,
    Unary::Round,
    Unary::Sign,
];
const BINARIES: [Binary; 7] =
    [Binary::Add, Binary::Sub, Binary::Mul, Binary::Div, Binary::Max, Binary::Min, Binary::Pow];
/// Added to the number of a [`Unary`] or [`Binary`] in the file.
const OF_ONE: u32 = 100;
const OF_TWO: u32 = 200;

impl Unary {
    /// The function's value.
    #[must_use]
    pub fn of(self, x: f32) -> f32 {
        match self {
            Self::Square => x * x,
            Self::Cube => x * x * x,
            Self::Sqrt => math::sqrt(x),
            Self::Rsqrt => 1.0 / math::sqrt(x),
            Self::Recip => 1.0 / x,
            Self::Erf => libm::erff(x),
            Self::Tanh => libm::tanhf(x),
            Self::Abs => libm::fabsf(x),
            Self::Exp => libm::expf(x),
            Self::Ln => libm::logf(x),
            Self::Sin => libm::sinf(x),
            Self::Cos => libm::cosf(x),
            Self::Floor => libm::floorf(x),
            Self::Ceil => libm::ceilf(x),
            Self::Round => math::round_even(x),
            Self::Sign if x > 0.0 => 1.0,
            Self::Sign if x < 0.0 => -1.0,
            Self::Sign => 0.0,
        }
    }

    /// ONNX's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Square | Self::Cube => "Pow",
            Self::Sqrt => "Sqrt",
            Self::Rsqrt | Self::Recip => "Reciprocal",
            Self::Erf => "Erf",
            Self::Tanh => "Tanh",
            Self::Abs => "Abs",
            Self::Exp => "Exp",
            Self::Ln => "Log",
            Self::Sin => "Sin",
            Self::Cos => "Cos",
            Self::Floor => "Floor",
            Self::Ceil => "Ceil",
            Self::Round => "Round",
            Self::Sign => "Sign",
        }
    }
}

impl Binary {
    /// The function's value.
    #[must_use]
    pub fn of(self, a: f32, b: f32) -> f32 {
        match self {
            Self::Add => a + b,
            Self::Sub => a - b,
            Self::Mul => a * b,
            Self::Div => a / b,
            Self::Max => greater(a, b),
            Self::Min => lesser(a, b),
            Self::Pow => libm::powf(a, b),
        }
    }

    /// ONNX's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Add => "Add",
            Self::Sub => "Sub",
            Self::Mul => "Mul",
            Self::Div => "Div",
            Self::Max => "Max",
            Self::Min => "Min",
            Self::Pow => "Pow",
        }
    }
}

impl Function {
    /// The function of a number in the file.
    #[must_use]
    pub fn numbered(number: u32, activation: Option<Activation>) -> Option<Self> {
        let at = |base: u32| number.checked_sub(base + 1).map(|at| at as usize);
        match number {
            0 => Some(Self::Copy),
            1 => activation.map(Self::Activate),
            OF_TWO.. => BINARIES.get(at(OF_TWO)?).map(|binary| Self::Binary(*binary)),
            _ => UNARIES.get(at(OF_ONE)?).map(|unary| Self::Unary(*unary)),
        }
    }

    /// Its number in the file.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::Copy => 0,
            Self::Activate(_) => 1,
            Self::Unary(unary) => OF_ONE + unary as u32,
            Self::Binary(binary) => OF_TWO + binary as u32,
        }
    }

    /// Its value for two numbers.
    #[must_use]
    pub fn of(self, a: f32, b: f32) -> f32 {
        match self {
            Self::Copy => a,
            Self::Activate(activation) => match activation {
                Activation::Linear => a,
                Activation::Gated(coefficients) => math::gated(a, coefficients),
                Activation::HardSwish => math::hard_swish(a),
                Activation::Sigmoid => math::sigmoid(a),
            },
            Self::Unary(unary) => unary.of(a),
            Self::Binary(binary) => binary.of(a, b),
        }
    }
}

impl Reducer {
    /// The reducer of a number in the file.
    #[must_use]
    pub const fn numbered(number: u32) -> Option<Self> {
        match number {
            0 => Some(Self::Sum),
            1 => Some(Self::Max),
            2 => Some(Self::Min),
            _ => None,
        }
    }

    /// What two numbers become.
    #[must_use]
    pub fn of(self, a: f32, b: f32) -> f32 {
        match self {
            Self::Sum => a + b,
            Self::Max => greater(a, b),
            Self::Min => lesser(a, b),
        }
    }
}

/// The greater of two numbers; of two zeros the first, which an instruction may see otherwise.
#[must_use]
pub fn greater(a: f32, b: f32) -> f32 {
    if b > a { b } else { a }
}

/// The lesser of two numbers, likewise.
#[must_use]
pub fn lesser(a: f32, b: f32) -> f32 {
    if b < a { b } else { a }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_function_has_a_number_of_its_own() {
        let unaries = UNARIES.iter().map(|unary| Function::Unary(*unary));
        let binaries = BINARIES.iter().map(|binary| Function::Binary(*binary));
        for function in unaries.chain(binaries).chain([Function::Copy]) {
            assert_eq!(Function::numbered(function.number(), None), Some(function));
        }
        for number in [1, 2, 100, 117, 200, 208, u32::MAX] {
            assert_eq!(Function::numbered(number, None), None, "{number}");
        }
        let sigmoid = Function::Activate(Activation::Sigmoid);
        assert_eq!(Function::numbered(1, Some(Activation::Sigmoid)), Some(sigmoid));
    }

    #[test]
    fn functions_are_those_of_their_names() {
        assert_eq!(Unary::Sign.of(-3.0), -1.0);
        assert_eq!(Unary::Round.of(2.5), 2.0);
        assert!((Unary::Erf.of(0.5) - 0.520_499_9).abs() < 1e-6);
        assert_eq!(Binary::Pow.of(2.0, 10.0), 1024.0);
        assert_eq!(Binary::Max.of(-1.0, 2.0), Reducer::Max.of(2.0, -1.0));
        assert_eq!(greater(0.0, -0.0).to_bits(), 0, "the first of two zeros");
    }
}
