use std::io::Write;

use super::*;

fn open(name: &str, bytes: &[u8]) -> Result<Tensors, TensorError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    Tensors::open(&path)
}

/// What `numpy.save` writes.
fn npy(header: &str, values: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    let fill = (64 - (10 + header.len() + 1) % 64) % 64;
    bytes.extend(((header.len() + fill + 1) as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(std::iter::repeat_n(b' ', fill));
    bytes.push(b'\n');
    bytes.extend(values);
    bytes
}

fn arrays() -> Vec<(&'static str, Array)> {
    vec![
        ("alpha", Array::of_f32(vec![], [1.5])),
        ("keys", Array::of_f32(vec![2, 3], (0..6).map(|i| i as f32))),
        ("labels", Array::of_i32([1, 0])),
    ]
}

#[test]
fn what_is_written_is_read() {
    let (mut file, mut archive) = (Vec::new(), Vec::new());
    write_safetensors(&arrays(), &[("class_names", r#"["a","é"]"#.into())], &mut file).unwrap();
    let names = ("class_names", Array::of_strings(&["a", "é"]));
    write_npz(&[&arrays()[..], &[names]].concat(), &mut archive).unwrap();
    for (name, bytes) in [("c.safetensors", file), ("c.npz", archive)] {
        let tensors = open(name, &bytes).unwrap();
        for (name, array) in arrays() {
            assert_eq!(tensors.get(name).unwrap(), &array, "{name}");
        }
        assert_eq!(tensors.strings("class_names").unwrap().unwrap(), ["a", "é"]);
        let missing = tensors.get("text").unwrap_err().to_string();
        assert!(missing.contains(name) && missing.contains("alpha, "), "{missing}");
    }
}

#[test]
fn numpys_types_and_orders_are_read() {
    let of = |header: &str, values: &[u8]| {
        open("x.npy", &npy(header, values)).map(|tensors| tensors.get("x").unwrap().clone())
    };
    let halves =
        of("{'descr': '<f2', 'fortran_order': False, 'shape': (2,), }", &[0, 0x3c, 0, 0xc0]);
    assert_eq!(halves.unwrap().floats().unwrap(), [1.0, -2.0]);
    let turned =
        of("{'descr': '|u1', 'fortran_order': True, 'shape': (2, 3), }", &[1, 4, 2, 5, 3, 6]);
    assert_eq!(turned.unwrap().integers().unwrap(), [1, 2, 3, 4, 5, 6]);
    let cube = of(
        "{'descr': '|u1', 'fortran_order': True, 'shape': (2, 2, 2), }",
        &[0, 4, 2, 6, 1, 5, 3, 7],
    );
    assert_eq!(cube.unwrap().bytes(), [0, 1, 2, 3, 4, 5, 6, 7]);
    let long = of("{'descr': '<u8', 'fortran_order': False, 'shape': (1,), }", &[255; 8]);
    assert_eq!(long.unwrap().integers().unwrap(), [i64::MAX]);
    let big = of("{'descr': '>f4', 'fortran_order': False, 'shape': (1,), }", &[0; 4]).unwrap();
    assert!(big.floats().unwrap_err().contains(">f4"));
    assert!(big.integers().is_err() && big.strings().is_err());
}

#[test]
fn a_folder_has_an_array_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let error = Tensors::open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("no .npy files"), "{error}");
    for (name, array) in arrays() {
        let mut file = fs::File::create(folder.path().join(format!("{name}.npy"))).unwrap();
        write_npy(&array, &mut file).unwrap();
    }
    fs::write(folder.path().join("notes.txt"), "").unwrap();
    let tensors = Tensors::open(folder.path()).unwrap();
    assert_eq!(tensors.names().collect::<Vec<_>>(), ["alpha", "keys", "labels"]);
}

#[test]
fn files_are_put_together_and_no_name_is_there_twice() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, arrays: &[(&str, Array)]| {
        let path = folder.path().join(name);
        let mut bytes = Vec::new();
        write_safetensors(arrays, &[("class_names", r#"["a"]"#.into())], &mut bytes).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    };
    let [a, b] = [write("a", &arrays()[..1]), write("b", &arrays()[1..])];
    let both = Tensors::open_all(&[&a, &b]).unwrap();
    assert_eq!(both.names().count(), 3);
    let twice = Tensors::open_all(&[&a, &a]).unwrap_err().to_string();
    assert!(twice.contains("alpha"), "{twice}");
}

#[test]
fn pickles_are_refused_with_the_way_out() {
    let mut archive = Vec::new();
    let mut writer = rawzip::ZipArchiveWriter::new(&mut archive);
    let (mut entry, config) = writer.new_file("keys_16shots/data.pkl").start().unwrap();
    let mut data = config.wrap(&mut entry);
    data.write_all(b"\x80\x02.").unwrap();
    let (_, descriptor) = data.finish().unwrap();
    entry.finish(descriptor).unwrap();
    writer.finish().unwrap();
    let object = npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", b"\x80\x04.");
    for (name, bytes) in [("k.pt", &archive[..]), ("k.pkl", b"\x80\x04\x95"), ("k.npy", &object)] {
        let error = open(name, bytes).unwrap_err().to_string();
        assert!(error.contains(name) && error.contains("pickle"), "{error}");
        assert!(error.contains("python3 -c") && error.contains("save_file"), "{error}");
    }
}

#[test]
fn files_that_are_cut_off_or_of_another_kind_are_refused() {
    let (mut file, mut archive) = (Vec::new(), Vec::new());
    write_safetensors(&arrays(), &[("class_names", r#"["a"]"#.into())], &mut file).unwrap();
    write_npz(&arrays(), &mut archive).unwrap();
    let array = npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", &[0; 8]);
    for (name, bytes) in [("c.safetensors", file), ("c.npz", archive), ("c.npy", array)] {
        for cut in 0..bytes.len() {
            let error = open(name, &bytes[..cut]).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
            let words = ["damaged or cut off", "not safetensors, .npz or .npy"];
            assert!(words.iter().any(|word| error.contains(word)), "{cut}: {error}");
        }
    }
    let vast =
        npy("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999, 99999999), }", &[]);
    assert!(open("c.npy", &vast).unwrap_err().to_string().contains("longer than"));
    assert!(Tensors::open("/nowhere/c.npz").unwrap_err().to_string().contains("/nowhere/c.npz"));
}
