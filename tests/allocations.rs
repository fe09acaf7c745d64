//! After warm-up a frame allocates nothing: not in our code and not in tract's. A camera that runs for
//! months then needs tomorrow the memory that it needs today.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tipcam::asset::AssetFile;
use tipcam::frame::{DEMO_PHOTOGRAPH, Decoder, Frame};
use tipcam::kernels;
use tipcam::pipeline::{Answer, Classifier};

/// Counts while it is asked to, on all threads.
struct Counting;

static COUNTS: AtomicBool = AtomicBool::new(false);
static CALLS: AtomicUsize = AtomicUsize::new(0);

fn count() {
    if COUNTS.load(Ordering::Relaxed) {
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

#[test]
fn a_frame_allocates_nothing_after_warm_up() {
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
        let found = allocations(|| {
            for _ in 0..20 {
                classifier.answer(&frame, 5, &mut answer).unwrap();
            }
        });
        assert_eq!(found, 0, "allocations in 20 frames with {threads} threads");
        assert_eq!((answer.decision, answer.top), (first.decision, first.top));
    }
}
