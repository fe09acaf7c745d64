use half::{bf16, f16};

/// What an array's values are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Element {
    /// True or false, a byte each.
    Bool,
    /// Unsigned, 8 bits.
    U8,
    /// Signed, 8 bits.
    I8,
    /// Unsigned, 16 bits.
    U16,
    /// Signed, 16 bits.
    I16,
    /// Unsigned, 32 bits.
    U32,
    /// Signed, 32 bits.
    I32,
    /// Unsigned, 64 bits.
    U64,
    /// Signed, 64 bits.
    I64,
    /// Half precision.
    F16,
    /// bfloat16.
    BF16,
    /// Single precision.
    F32,
    /// Double precision.
    F64,
    /// NumPy's strings of so many characters of 32 bits, filled up with zeros.
    Text(usize),
    /// Something that is not read, by its name.
    Other(String),
}

impl Element {
    /// Bytes of a value; none where that is not known.
    #[must_use]
    pub fn bytes(&self) -> Option<usize> {
        Some(match self {
            Self::Bool | Self::U8 | Self::I8 => 1,
            Self::U16 | Self::I16 | Self::F16 | Self::BF16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 => 8,
            Self::Text(characters) => characters.checked_mul(4)?,
            Self::Other(_) => return None,
        })
    }

    fn name(&self) -> String {
        match self {
            Self::Text(_) => "text".to_owned(),
            Self::Other(name) => name.clone(),
            other => format!("{other:?}"),
        }
    }
}

/// Values in rows, little-endian.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Array {
    element: Element,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Array {
    /// Of values one after the other, the last dimension fastest.
    #[must_use]
    pub fn new(element: Element, shape: Vec<usize>, bytes: Vec<u8>) -> Self {
        Self { element, shape, bytes }
    }

    /// Of single precision.
    #[must_use]
    pub fn of_f32(shape: Vec<usize>, values: impl IntoIterator<Item = f32>) -> Self {
        let bytes = values.into_iter().flat_map(f32::to_le_bytes).collect();
        Self::new(Element::F32, shape, bytes)
    }

    /// A list of integers.
    #[must_use]
    pub fn of_i32(values: impl IntoIterator<Item = i32>) -> Self {
        let bytes: Vec<u8> = values.into_iter().flat_map(i32::to_le_bytes).collect();
        Self::new(Element::I32, vec![bytes.len() / 4], bytes)
    }

    /// A list of strings.
    #[must_use]
    pub fn of_strings<S: AsRef<str>>(strings: &[S]) -> Self {
        let longest = strings.iter().map(|s| s.as_ref().chars().count()).max().unwrap_or(0).max(1);
        let fill = |s: &S| {
            let letters = s.as_ref().chars().map(u32::from);
            letters.chain(std::iter::repeat(0)).take(longest).collect::<Vec<u32>>()
        };
        let bytes = strings.iter().flat_map(fill).flat_map(u32::to_le_bytes).collect();
        Self::new(Element::Text(longest), vec![strings.len()], bytes)
    }

    /// What the values are.
    #[must_use]
    pub fn element(&self) -> &Element {
        &self.element
    }

    /// Its dimensions.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The values' bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn values<const N: usize, T>(&self, value: impl Fn([u8; N]) -> T) -> Vec<T> {
        self.bytes.as_chunks::<N>().0.iter().map(|bytes| value(*bytes)).collect()
    }

    /// Values of a floating-point type.
    ///
    /// # Errors
    /// It is of another type; the text goes on behind the array's name.
    pub fn floats(&self) -> Result<Vec<f32>, String> {
        Ok(match self.element {
            Element::F16 => self.values(|bytes| f16::from_le_bytes(bytes).to_f32()),
            Element::BF16 => self.values(|bytes| bf16::from_le_bytes(bytes).to_f32()),
            Element::F32 => self.values(f32::from_le_bytes),
            Element::F64 => self.values(|bytes| f64::from_le_bytes(bytes) as f32),
            _ => {
                let name = self.element.name();
                return Err(format!("is {name}, it must be F32, F16, BF16 or F64"));
            }
        })
    }

    /// Values of a type of whole numbers; a number beyond 64 bits with a sign becomes the largest.
    ///
    /// # Errors
    /// It is of another type; the text goes on behind the array's name.
    pub fn integers(&self) -> Result<Vec<i64>, String> {
        Ok(match self.element {
            Element::Bool | Element::U8 => self.values(|[byte]| byte.into()),
            Element::I8 => self.values(|bytes| i8::from_le_bytes(bytes).into()),
            Element::U16 => self.values(|bytes| u16::from_le_bytes(bytes).into()),
            Element::I16 => self.values(|bytes| i16::from_le_bytes(bytes).into()),
            Element::U32 => self.values(|bytes| u32::from_le_bytes(bytes).into()),
            Element::I32 => self.values(|bytes| i32::from_le_bytes(bytes).into()),
            Element::U64 => {
                self.values(|bytes| i64::try_from(u64::from_le_bytes(bytes)).unwrap_or(i64::MAX))
            }
            Element::I64 => self.values(i64::from_le_bytes),
            _ => {
                let name = self.element.name();
                return Err(format!("is {name}, it must be of whole numbers, as I32 or I64"));
            }
        })
    }

    /// Strings.
    ///
    /// # Errors
    /// It is of another type; the text goes on behind the array's name.
    pub fn strings(&self) -> Result<Vec<String>, String> {
        let Element::Text(length) = self.element else {
            return Err(format!("is {}, it must be of strings", self.element.name()));
        };
        let read = |letters: &[[u8; 4]]| {
            let letters = letters.iter().map(|bytes| u32::from_le_bytes(*bytes));
            let letters = letters.take_while(|&letter| letter != 0).map(char::from_u32);
            letters.collect::<Option<String>>()
        };
        let strings = self.bytes.as_chunks::<4>().0.chunks_exact(length.max(1)).map(read);
        let strings: Option<Vec<String>> = strings.collect();
        strings.ok_or_else(|| "has a string that is no Unicode".to_owned())
    }

    /// The same array from values whose first dimension is the fastest.
    pub(super) fn columns_as_rows(self) -> Self {
        let (Some(size), &[rows, columns]) = (self.element.bytes(), &self.shape[..]) else {
            return self;
        };
        let mut bytes = Vec::with_capacity(self.bytes.len());
        for row in 0..rows {
            for column in 0..columns {
                bytes.extend_from_slice(&self.bytes[(column * rows + row) * size..][..size]);
            }
        }
        Self { bytes, ..self }
    }
}
