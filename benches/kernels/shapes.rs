//! What networks multiply.

/// A product of a network: `rows` tokens or pixels of `k` inputs, `n` outputs.
pub(crate) struct Product {
    /// How often it occurs.
    pub(crate) times: usize,
    pub(crate) rows: usize,
    pub(crate) k: usize,
    pub(crate) n: usize,
}

pub(crate) struct Family {
    pub(crate) name: &'static str,
    /// Rows with units of their own become reals; else static codes become codes.
    pub(crate) tokens: bool,
    pub(crate) products: &'static [Product],
}

const fn product(times: usize, rows: usize, k: usize, n: usize) -> Product {
    Product { times, rows, k, n }
}

pub(crate) const FAMILIES: &[Family] = &[
    Family {
        name: "ViT-B/32",
        tokens: true,
        products: &[
            product(1, 49, 3072, 768),
            product(12, 50, 768, 2304),
            product(12, 50, 768, 768),
            product(12, 50, 768, 3072),
            product(12, 50, 3072, 768),
            product(1, 1, 768, 512),
        ],
    },
    Family {
        name: "TinyCLIP ViT-8M/16",
        tokens: true,
        products: &[
            product(1, 196, 768, 256),
            product(10, 197, 256, 768),
            product(10, 197, 256, 256),
            product(10, 197, 256, 1024),
            product(10, 197, 1024, 256),
            product(1, 1, 256, 512),
        ],
    },
    Family {
        name: "EfficientNet-Lite0",
        tokens: false,
        products: &[
            product(1, 12544, 27, 32),
            product(1, 12544, 32, 16),
            product(1, 12544, 16, 96),
            product(1, 3136, 96, 24),
            product(2, 3136, 24, 144),
            product(1, 3136, 144, 24),
            product(1, 784, 144, 40),
            product(2, 784, 40, 240),
            product(1, 784, 240, 40),
            product(1, 196, 240, 80),
            product(3, 196, 80, 480),
            product(2, 196, 480, 80),
            product(1, 196, 480, 112),
            product(3, 196, 112, 672),
            product(2, 196, 672, 112),
            product(1, 49, 672, 192),
            product(4, 49, 192, 1152),
            product(3, 49, 1152, 192),
            product(1, 49, 1152, 320),
            product(1, 49, 320, 1280),
        ],
    },
];

/// A depthwise convolution of a square image.
pub(crate) struct Convolution {
    pub(crate) side: usize,
    pub(crate) channels: usize,
    /// Side of the kernel.
    pub(crate) kernel: usize,
    pub(crate) stride: usize,
}

const fn convolution(side: usize, channels: usize, kernel: usize, stride: usize) -> Convolution {
    Convolution { side, channels, kernel, stride }
}

/// EfficientNet-Lite0's, then kinds that MobileCLIP has.
pub(crate) const DEPTHWISE: &[Convolution] = &[
    convolution(112, 32, 3, 1),
    convolution(112, 96, 3, 2),
    convolution(56, 144, 3, 1),
    convolution(56, 144, 5, 2),
    convolution(28, 240, 5, 1),
    convolution(28, 240, 3, 2),
    convolution(14, 480, 3, 1),
    convolution(14, 480, 5, 1),
    convolution(14, 672, 5, 1),
    convolution(14, 672, 5, 2),
    convolution(7, 1152, 5, 1),
    convolution(7, 1152, 3, 1),
    convolution(64, 64, 7, 1),
    convolution(32, 128, 7, 1),
    convolution(16, 256, 7, 1),
    convolution(64, 64, 7, 2),
];
