use super::operation::{Entry, Numbered, Operation};
use super::record::{self, HEADER_LEN, Header, MARK};

/// What a journal holds.
#[derive(Debug, Default)]
pub(super) struct Scanned {
    /// What was done and not undone.
    pub(super) operations: Vec<Numbered>,
    pub(super) next_number: u64,
    pub(super) next_id: u64,
    /// Bytes up to the end of the last whole record.
    pub(super) whole: usize,
    /// Whether bytes follow that are no record: the last one was being written when the power went.
    pub(super) torn: bool,
    /// Places between whole records where the disk has damaged some.
    pub(super) damaged: usize,
}

/// Reads every record that is whole, also behind damaged ones: they stand for themselves.
pub(super) fn scan(bytes: &[u8], header: &Header) -> Scanned {
    let mut found = Scanned {
        next_number: header.next_number,
        next_id: header.next_id,
        whole: HEADER_LEN,
        ..Scanned::default()
    };
    while found.whole < bytes.len() {
        let Some((at, number, entry, len)) = next(bytes, found.whole, header.crc) else {
            found.torn = true;
            break;
        };
        found.damaged += usize::from(at > found.whole);
        found.whole = at + len;
        found.next_number = found.next_number.max(number.saturating_add(1));
        match entry {
            Entry::Do(operation) => {
                if let Operation::Learn { first_id, shots, .. } = &operation {
                    found.next_id = found.next_id.max(first_id.saturating_add(shots.len() as u64));
                }
                found.operations.push(Numbered { number, operation });
            }
            Entry::Undo(undone) => found.operations.retain(|other| other.number != undone),
        }
    }
    found
}

/// The first whole record from `start` on: where it is, its number, contents and length.
fn next(bytes: &[u8], start: usize, journal: u32) -> Option<(usize, u64, Entry, usize)> {
    let marks = bytes[start..].windows(MARK.len()).enumerate();
    let mut marks = marks.filter(|(_, window)| **window == MARK).map(|(i, _)| start + i);
    marks.find_map(|at| {
        let (number, entry, len) = record::decode(&bytes[at..], journal)?;
        Some((at, number, entry, len))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use zerocopy::{FromZeros, IntoBytes};

    fn header() -> Header {
        let magic = record::MAGIC;
        Header { magic, next_number: 1, next_id: 10, ..Header::new_zeroed() }.sealed()
    }

    fn learn(label: &str, first_id: u64) -> Operation {
        let shots = vec![(vec![0.5, -1.25, 3.0], format!("{label}/é.jpg"))];
        Operation::Learn { first_id, label: label.to_owned(), shots }
    }

    fn journal(entries: &[Entry]) -> (Vec<u8>, Vec<usize>) {
        let header = header();
        let (mut bytes, mut ends) = (header.as_bytes().to_vec(), Vec::new());
        for (i, entry) in entries.iter().enumerate() {
            let entry = match entry {
                Entry::Do(operation) => Entry::Do(operation),
                Entry::Undo(number) => Entry::Undo(*number),
            };
            bytes.extend(record::encode(i as u64 + 1, &entry, header.crc));
            ends.push(bytes.len());
        }
        (bytes, ends)
    }

    fn all() -> Vec<Entry> {
        vec![
            Entry::Do(learn("cup", 10)),
            Entry::Do(Operation::ForgetKey(3)),
            Entry::Do(Operation::Move { id: 10, label: "mug".into() }),
            Entry::Do(Operation::Rename { label: "mug".into(), new: "jug".into() }),
            Entry::Do(Operation::ForgetClass("dog".into())),
            Entry::Undo(5),
            Entry::Do(learn("hat", 11)),
        ]
    }

    fn labels(bytes: &[u8]) -> (Vec<u64>, Scanned) {
        let scanned = scan(bytes, &header());
        (scanned.operations.iter().map(|numbered| numbered.number).collect(), scanned)
    }

    #[test]
    fn what_is_written_is_read_and_undone_operations_are_left_out() {
        let (bytes, ends) = journal(&all());
        let (numbers, scanned) = labels(&bytes);
        assert_eq!(numbers, [1, 2, 3, 4, 7]);
        assert_eq!((scanned.next_number, scanned.next_id), (8, 12));
        assert_eq!((scanned.whole, scanned.torn, scanned.damaged), (ends[6], false, 0));
        assert_eq!(scanned.operations[0].operation, learn("cup", 10));
    }

    #[test]
    fn a_journal_that_ends_anywhere_gives_its_whole_records() {
        let (bytes, ends) = journal(&all());
        for cut in HEADER_LEN..bytes.len() {
            let scanned = scan(&bytes[..cut], &header());
            let whole = ends.iter().filter(|&&end| end <= cut).count();
            let expected = if whole == 0 { HEADER_LEN } else { ends[whole - 1] };
            assert_eq!((scanned.whole, scanned.damaged), (expected, 0), "cut at {cut}");
            assert_eq!(scanned.torn, cut > expected, "cut at {cut}");
        }
    }

    #[test]
    fn a_damaged_record_costs_itself_alone() {
        let (bytes, ends) = journal(&all());
        for at in ends[0]..ends[1] {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            let (numbers, scanned) = labels(&damaged);
            assert_eq!(numbers, [1, 3, 4, 7], "byte {at}");
            assert_eq!((scanned.damaged, scanned.torn), (1, false));
        }
    }

    #[test]
    fn bytes_in_a_name_that_look_like_a_record_are_none() {
        let other = Header { next_id: 99, ..header() }.sealed();
        let inside = record::encode(9, &Entry::Do(&Operation::ForgetKey(1)), other.crc);
        let header = header();
        let mut bytes = header.as_bytes().to_vec();
        bytes.extend(inside);
        let scanned = scan(&bytes, &header);
        assert!(scanned.operations.is_empty() && scanned.torn);
    }
}
