//! How long a camera's frame takes from its bytes to the encoder's input, on one thread.
//!
//!     cargo bench --no-default-features --features frame --bench frame

use std::hint::black_box;
use std::time::{Duration, Instant};

use tipcam::asset::{Preprocess, ResizeMode};
use tipcam::frame::{
    Decoder, Format, Frame, Motion, MotionRules, Preprocessor, SourceOptions, open,
};

const ROUNDS: u32 = 50;
const SIZE: (u32, u32) = (640, 480);
/// So many frames do not fit into the caches next to the processor.
const FRAMES: usize = 16;

/// The fastest of many rounds in milliseconds.
fn fastest(mut work: impl FnMut()) -> f64 {
    let time = |_| {
        let start = Instant::now();
        work();
        start.elapsed().as_secs_f64() * 1e3
    };
    (0..ROUNDS).map(time).fold(f64::INFINITY, f64::min)
}

fn report(what: &str, ms: f64) {
    println!("{what:45} {ms:8.3} ms {:8.0} frames/s", 1e3 / ms);
}

fn main() {
    let mean = [127.0; 3];
    let description =
        Preprocess { size: 224, mode: ResizeMode::FitShortest, mean, std: [128.0; 3] };
    let mut preprocessor = Preprocessor::new(description);
    let mut output = vec![0; preprocessor.output_len()];
    let mut frame = Frame::new();

    // A noisy picture's size, so that the file is as long as a camera's.
    let jpeg = include_bytes!("../tests/golden/preprocess/size_640x480.jpg");
    let mut decoder = Decoder::default();
    let what = format!("decode a JPEG of 640x480 ({} kB)", jpeg.len() / 1000);
    report(&what, fastest(|| decoder.decode("bench", jpeg, &mut frame).expect("a good JPEG")));
    report("resize and crop 640x480 to 224x224", fastest(|| preprocessor.run(&frame, &mut output)));

    let folder = tempfile::tempdir().expect("a folder for the frames");
    let path = folder.path().join("frames.yuyv");
    let frames: Vec<u8> = (0..SIZE.0 * SIZE.1 * 2).map(|i| (i * 7 % 200 + 20) as u8).collect();
    std::fs::write(&path, &frames).expect("room for the frames");
    let options = SourceOptions {
        size: Some(SIZE),
        looped: true,
        format: Some(Format::Yuyv),
        ..SourceOptions::default()
    };
    let path = path.to_str().expect("a readable name");
    let mut source = open(path, options).expect("a source of frames");
    report(
        "read and convert a YUYV frame of 640x480",
        fastest(|| {
            black_box(source.next(&mut frame).expect("a frame"));
        }),
    );

    let rules = MotionRules { max_still: Duration::MAX, ..MotionRules::default() };
    for (width, height) in [SIZE, (1920, 1080)] {
        frame.resize(width, height);
        frame.pixels_mut().iter_mut().enumerate().for_each(|(i, v)| *v = (i * 7 % 200) as u8);
        let frames = vec![frame.clone(); FRAMES];
        let mut motion = Motion::new(rules);
        motion.still(Duration::ZERO, &frame);
        let mut next = frames.iter().cycle();
        let what = format!("see that a frame of {width}x{height} is still");
        report(
            &what,
            fastest(|| {
                let frame = next.next().expect("frames that go round");
                assert!(motion.still(Duration::ZERO, frame), "the same picture");
            }),
        );
    }
}
