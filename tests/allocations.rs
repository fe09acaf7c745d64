//! After warm-up a frame allocates nothing: not in our code and not in tract's. A camera that runs for
//! months then needs tomorrow the memory that it needs today.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tipcam::asset::AssetFile;
use tipcam::decide::{Decision, Settled};
use tipcam::frame::{DEMO_PHOTOGRAPH, Decoder, Frame, MotionRules};
use tipcam::kernels;
use tipcam::pipeline::{Answer, Classifier, Scored};
use tipcam::publish::{
    Examples, ExamplesSettings, Exec, ExecSettings, Metrics, Mqtt, MqttSettings, Tell,
};
use tipcam::serve::Live;
use tipcam::watch::{
    Captured, Desk, Engine, Event, Health, Labels, Options, Policy, Relay, Shot, Sink, View,
};

/// Counts while it is asked to, on all threads or on the one that asks.
struct Counting;

static COUNTS: AtomicBool = AtomicBool::new(false);
static CALLS: AtomicUsize = AtomicUsize::new(0);

/// The counter is one for all tests.
static ALONE: Mutex<()> = Mutex::new(());

thread_local! {
    static COUNTS_HERE: Cell<bool> = const { Cell::new(false) };
}

fn count() {
    if COUNTS.load(Ordering::Relaxed) || COUNTS_HERE.get() {
        CALLS.fetch_add(1, Ordering::Relaxed);
    }
}

// SAFETY: everything is handed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's promise.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Runs `f` and counts what it allocates.
fn allocations(f: impl FnOnce()) -> usize {
    CALLS.store(0, Ordering::SeqCst);
    COUNTS.store(true, Ordering::SeqCst);
    f();
    COUNTS.store(false, Ordering::SeqCst);
    CALLS.load(Ordering::SeqCst)
}

/// The same on this thread only.
fn own_allocations(f: impl FnOnce()) -> usize {
    CALLS.store(0, Ordering::SeqCst);
    COUNTS_HERE.set(true);
    f();
    COUNTS_HERE.set(false);
    CALLS.load(Ordering::SeqCst)
}

#[test]
fn a_frame_allocates_nothing_after_warm_up() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/models/default.tipcam");
    let file = AssetFile::open(path).unwrap();
    // The counter counts.
    assert!(allocations(|| drop(std::hint::black_box(vec![0u8; 100]))) > 0);
    for threads in [1, 2] {
        let mut classifier = Classifier::new(&file, kernels::best(), threads).unwrap();
        let (mut decoder, mut frame) = (Decoder::default(), Frame::new());
        let mut answer = Answer::default();
        decoder.decode("demo", DEMO_PHOTOGRAPH, &mut frame).unwrap();
        for _ in 0..3 {
            classifier.answer(&frame, 5, &mut answer).unwrap();
        }
        let first = answer.clone();
        // The harness tells of other tests on a thread of its own: that is not in every count.
        let mut count = || {
            allocations(|| {
                for _ in 0..20 {
                    classifier.answer(&frame, 5, &mut answer).unwrap();
                }
            })
        };
        let found = (0..5).map(|_| count()).min();
        assert_eq!(found, Some(0), "allocations in 20 frames with {threads} threads");
        assert_eq!((answer.decision, answer.top), (first.decision, first.top));
    }
}

#[test]
fn a_frame_that_changes_nothing_allocates_nothing_in_any_sink() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let labels: Arc<Labels> = Arc::new(["cat", "cup"].into_iter().collect());
    let scored = |class, score| Scored { class, score, zero_shot: None, cache: None };
    let answer = Answer {
        decision: Decision { class: Some(1), score: 0.9, unknown: false, ..Decision::default() },
        top: [scored(1, 0.9), scored(0, 0.1)].into_iter().collect(),
        ..Answer::default()
    };
    let view = |region: &str| View {
        region: Some(region.into()),
        answer: answer.clone(),
        stable: Settled { class: Some(1), score: 0.9, ..Settled::default() },
        ..View::default()
    };
    let mut event = Event {
        arrived: Some(Instant::now()),
        labels,
        views: vec![view("left"), view("right")],
        ..Event::default()
    };
    let frame = Frame::new();

    // a broker that never answers, a folder, a command: nothing of it is reached in these frames
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("mqtt://{}", silent.local_addr().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let tell: Tell = Arc::new(|_: &str| {});
    let mqtt = MqttSettings { url, ..MqttSettings::default() };
    let exec = ExecSettings { command: "true".to_owned(), ..ExecSettings::default() };
    let directory = folder.path().to_owned();
    let examples = ExamplesSettings { directory, ..ExamplesSettings::default() };
    let sinks: [(&str, Box<dyn Sink>); 4] = [
        ("mqtt", Box::new(Mqtt::new(mqtt, Arc::clone(&tell)).unwrap())),
        ("exec", Box::new(Exec::new(exec, Arc::clone(&tell)).unwrap())),
        ("examples", Box::new(Examples::new(examples, tell).unwrap())),
        ("metrics", Box::new(Metrics::new(Arc::new(Health::default()), Vec::new()).meter())),
    ];
    for (name, mut sink) in sinks {
        // the first frame is a change, and that may allocate
        assert!(own_allocations(|| sink.frame(&frame, &event)) > 0, "{name}: the counter counts");
        let found = own_allocations(|| {
            for number in 1..=1000 {
                event.number = number;
                event.since_start = Duration::from_millis(number * 33);
                event.unix_ms = number * 33;
                sink.frame(&frame, &event);
            }
        });
        assert_eq!(found, 0, "{name}: allocations in 1,000 frames");
    }
}

#[test]
fn the_loop_allocates_nothing_for_regions_motion_rules_and_the_page() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/models/default.tipcam");
    let file = AssetFile::open(path).unwrap();
    let classifier = Classifier::new(&file, kernels::best(), 1).unwrap();
    let relay = Relay::<Shot, Event>::new(Policy::NewestWins);
    let health = Arc::new(Health::default());
    let (_live, lens) = Live::new(Arc::clone(&health));
    let options = Options {
        top: 5,
        regions: ["left=0,0,0.5,1", "right=0.5,0,0.5,1"].map(|text| text.parse().unwrap()).into(),
        motion: Some(MotionRules::default()),
        ..Options::default()
    };
    let desk = Desk::new(relay.waker());
    let sinks: Vec<Box<dyn Sink>> = vec![Box::new(lens)];
    let mut engine = Engine::new(classifier, options, desk, sinks, health).unwrap();
    let mut captured = Captured::<Shot>::default();
    Decoder::default().decode("demo", DEMO_PHOTOGRAPH, &mut captured.frame.frame).unwrap();
    let mut event = Event::default();
    let mut encoded = 0;
    let mut frames = |engine: &mut Engine, numbers: std::ops::Range<u64>| {
        for number in numbers {
            captured.number = number;
            captured.since_start = Duration::from_millis(number * 33);
            // every third frame has something new in it
            if number % 3 == 0 {
                captured.frame.frame.pixels_mut()[..30_000].fill((number * 40 % 256) as u8);
            }
            engine.answer(Some(&captured), &mut event).unwrap();
            encoded += u64::from(event.views.iter().any(|view| !view.still));
        }
    };
    frames(&mut engine, 0..30);
    let found = own_allocations(|| frames(&mut engine, 30..60));
    assert_eq!(found, 0, "allocations in 30 frames");
    assert!((10..60).contains(&encoded), "{encoded} of 60 frames were encoded");
}
