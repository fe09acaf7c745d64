use super::{
    Adapter, AssetError, Bank, Cache, Calibration, Container, HeadParams, KeyNames, Labels, Linear,
    Meta, Metrics, Preprocess, Prompts, Provenance, Space, Tag, TextWeights, Vocabulary,
};

/// An asset with a typed view of each section that it has: an encoder alone, a cache alone or a
/// complete one. A command that needs a section says so: `asset.labels.ok_or(Tag::LABELS.missing())?`.
#[derive(Clone, Copy, Debug)]
pub struct Asset<'a> {
    /// The file; the encoder reads its own sections there.
    pub container: Container<'a>,
    /// How pictures become the encoder's input.
    pub preprocess: Option<Preprocess>,
    /// Class labels.
    pub labels: Option<Labels<'a>>,
    /// Templates behind the text weights.
    pub prompts: Option<Prompts<'a>>,
    /// Text weights of the classes.
    pub text: Option<TextWeights<'a>>,
    /// Hyper-parameters of the head.
    pub head: Option<HeadParams>,
    /// A linear term of the logits.
    pub linear: Option<Linear<'a>>,
    /// A map of the feature that text weights and linear term read.
    pub adapter: Option<Adapter<'a>>,
    /// Keys that the head has made of the shots.
    pub bank: Option<Bank<'a>>,
    /// What makes rows of the linear term for new classes.
    pub meta: Option<Meta<'a>>,
    /// Temperature and thresholds.
    pub calibration: Option<Calibration>,
    /// The cache of shots.
    pub cache: Option<Cache<'a>>,
    /// The picture behind each key.
    pub key_names: Option<KeyNames<'a>>,
    /// Text vectors for classes that come later.
    pub vocabulary: Option<Vocabulary<'a>>,
    /// Measured figures.
    pub metrics: Option<Metrics<'a>>,
    /// Where the contents come from.
    pub provenance: Option<Provenance<'a>>,
}

/// What an asset knows of one class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Class<'a> {
    /// Its label.
    pub label: &'a str,
    /// Whether it has text weights.
    pub has_text: bool,
    /// Its keys in the cache.
    pub shots: u32,
}

impl<'a> Asset<'a> {
    /// Opens the container and every section that this version knows, and looks whether they fit
    /// each other. Takes microseconds whatever the size and copies nothing; checksums and values
    /// are looked at by [`Container::verify`] and [`validate`](Self::validate).
    ///
    /// # Errors
    /// All of [`AssetError`] except [`AssetError::MissingSection`].
    pub fn open(bytes: &'a [u8]) -> Result<Self, AssetError> {
        let container = Container::open(bytes)?;
        let section = |tag| container.section(tag);
        let asset = Self {
            container,
            preprocess: section(Tag::PREPROCESS).map(Preprocess::parse).transpose()?,
            labels: section(Tag::LABELS).map(Labels::parse).transpose()?,
            prompts: section(Tag::PROMPTS).map(Prompts::parse).transpose()?,
            text: section(Tag::TEXT).map(TextWeights::parse).transpose()?,
            head: section(Tag::HEAD).map(HeadParams::parse).transpose()?,
            linear: section(Tag::LINEAR).map(Linear::parse).transpose()?,
            adapter: section(Tag::ADAPTER).map(Adapter::parse).transpose()?,
            bank: section(Tag::BANK).map(Bank::parse).transpose()?,
            meta: section(Tag::META).map(Meta::parse).transpose()?,
            calibration: section(Tag::CALIBRATION).map(Calibration::parse).transpose()?,
            cache: section(Tag::CACHE).map(Cache::parse).transpose()?,
            key_names: section(Tag::KEY_NAMES).map(KeyNames::parse).transpose()?,
            vocabulary: section(Tag::VOCABULARY).map(Vocabulary::parse).transpose()?,
            metrics: section(Tag::METRICS).map(Metrics::parse).transpose()?,
            provenance: section(Tag::PROVENANCE).map(Provenance::parse).transpose()?,
        };
        let bank = asset.bank.map(|bank| bank.keys);
        for keys in [asset.cache, bank].into_iter().flatten() {
            if keys.encoder != container.encoder_id() {
                let (asset, cache) = (container.encoder_id(), keys.encoder);
                return Err(AssetError::ForeignCache { asset, cache });
            }
        }
        let labels = asset.labels.map(|labels| (Tag::LABELS, labels.count()));
        let text = asset.text.map(|text| (Tag::TEXT, text.classes));
        let cache = asset.cache.map(|cache| (Tag::CACHE, cache.classes()));
        agree("classes", labels, text)?;
        agree("classes", labels, cache)?;
        agree("classes", text, cache)?;
        let linear = asset.linear.map(|linear| (Tag::LINEAR, linear.classes));
        let bank_classes = bank.map(|keys| (Tag::BANK, keys.classes()));
        agree("classes", labels, linear)?;
        agree("classes", labels, bank_classes)?;
        agree("classes", linear, bank_classes)?;
        agree("classes", text, linear)?;
        agree("classes", text, bank_classes)?;
        agree("classes", cache, linear)?;
        agree("classes", cache, bank_classes)?;
        let keys = asset.cache.map(|cache| (Tag::CACHE, cache.len));
        let names = asset.key_names.map(|names| (Tag::KEY_NAMES, names.count()));
        agree("shots", keys, names)?;
        let text = asset.text.map(|text| (Tag::TEXT, text.dim));
        let words = asset.vocabulary.map(|words| (Tag::VOCABULARY, words.dim));
        agree("dimensions of a text vector", text, words)?;
        asset.same_dimensions()?;
        Ok(asset)
    }

    /// Sections that read one feature agree on its dimensions.
    fn same_dimensions(&self) -> Result<(), AssetError> {
        for space in Space::ALL {
            let of = |tag, in_space: bool, dim| in_space.then_some((tag, dim));
            let text = self.text.filter(|_| space == Space::Projected);
            let readers = [
                text.map(|text| (Tag::TEXT, text.dim)),
                self.cache.and_then(|c| of(Tag::CACHE, c.space == space, c.dim)),
                self.linear.and_then(|l| of(Tag::LINEAR, l.space == space, l.dim)),
                self.adapter.and_then(|a| of(Tag::ADAPTER, a.space() == space, a.dim())),
                self.adapter.and_then(|a| of(Tag::ADAPTER, a.reads().0 == space, a.reads().1)),
                self.bank.and_then(|b| of(Tag::BANK, b.keys.space == space, b.feature_dim)),
            ];
            let mut readers = readers.into_iter().flatten();
            let first = readers.next();
            readers.try_for_each(|other| agree("dimensions of a feature", first, Some(other)))?;
        }
        Ok(())
    }

    /// Looks at every value: texts are UTF-8, numbers finite, vectors of length 1, classes exist.
    /// Reads every section but the encoder's.
    ///
    /// # Errors
    /// [`AssetError::Corrupt`], [`AssetError::Limit`].
    pub fn validate(&self) -> Result<(), AssetError> {
        self.labels.map_or(Ok(()), |labels| labels.validate())?;
        self.prompts.map_or(Ok(()), |prompts| prompts.validate())?;
        self.text.map_or(Ok(()), |text| text.validate())?;
        self.cache.map_or(Ok(()), |cache| cache.validate())?;
        self.linear.map_or(Ok(()), |linear| linear.validate())?;
        self.adapter.map_or(Ok(()), |adapter| adapter.validate())?;
        self.bank.map_or(Ok(()), |bank| bank.validate())?;
        self.meta.map_or(Ok(()), |meta| meta.validate())?;
        self.key_names.map_or(Ok(()), |names| names.validate())?;
        self.vocabulary.map_or(Ok(()), |words| words.validate())?;
        self.metrics.map_or(Ok(()), |metrics| metrics.validate())?;
        self.provenance.map_or(Ok(()), |provenance| provenance.validate())
    }

    /// Whether the encoder itself is inside, not only what was made with it.
    #[must_use]
    pub fn has_encoder(&self) -> bool {
        self.container.section(Tag::LAYERS).is_some()
    }

    /// What is known of class `i`; none behind the last class, or without labels.
    #[must_use]
    pub fn class(&self, i: usize) -> Option<Class<'a>> {
        Some(Class {
            label: self.labels?.get(i)?,
            has_text: self.text.is_some_and(|text| text.has(i)),
            shots: self.cache.and_then(|cache| cache.shots.get(i).copied()).unwrap_or(0),
        })
    }

    /// Every class in order.
    pub fn classes(&self) -> impl Iterator<Item = Class<'a>> + use<'a> {
        let asset = *self;
        (0..).map_while(move |i| asset.class(i))
    }
}

/// Where both sections are there, they count the same.
fn agree(
    what: &'static str,
    first: Option<(Tag, usize)>,
    second: Option<(Tag, usize)>,
) -> Result<(), AssetError> {
    match (first, second) {
        (Some((a, first)), Some((b, second))) if first != second => {
            Err(AssetError::Disagree { what, first: (a, first as u64), second: (b, second as u64) })
        }
        _ => Ok(()),
    }
}
