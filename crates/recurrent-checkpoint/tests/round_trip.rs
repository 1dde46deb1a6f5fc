//! What is saved is loaded, bit for bit, whatever it is; and the bytes depend on content alone.

use proptest::prelude::*;
use recurrent_checkpoint::{Checkpoint, ContentError, Data, ElementType};

#[path = "round_trip/drawn.rs"]
mod drawn;

use drawn::parts;

/// The bits of values, for comparison: a NaN is not equal to itself.
fn bits(data: &Data<'_>) -> (ElementType, Vec<u64>) {
    let bits = match data {
        Data::F32(values) => values.iter().map(|value| value.to_bits().into()).collect(),
        Data::F64(values) => values.iter().map(|value| value.to_bits()).collect(),
        Data::U64(values) => values.to_vec(),
        Data::U32(values) => values.iter().map(|&value| value.into()).collect(),
        Data::Bytes(values) => values.iter().map(|&value| value.into()).collect(),
        other => panic!("{other:?} is not drawn here"),
    };
    (data.element_type(), bits)
}

proptest! {
    #[test]
    fn everything_comes_back_bit_for_bit(
        kind in ".{0,20}",
        metadata in prop::collection::btree_map(".{0,8}", ".{0,30}", 0..5),
        parts in parts(),
    ) {
        let mut checkpoint = Checkpoint::new(kind.clone());
        *checkpoint.metadata_mut() = metadata.clone();
        for (name, shape, data) in &parts {
            checkpoint.insert(name.clone(), shape, data.clone());
        }
        let bytes = checkpoint.to_bytes().unwrap();
        let loaded = Checkpoint::from_bytes(&bytes).unwrap();
        prop_assert_eq!(loaded.kind(), &kind);
        prop_assert_eq!(loaded.metadata(), &metadata);
        prop_assert_eq!(loaded.sections().len(), parts.len());
        for (name, shape, data) in &parts {
            let section = loaded.section(name).unwrap();
            prop_assert_eq!(section.shape(), shape);
            prop_assert_eq!(bits(section.data()), bits(data));
        }
        prop_assert!(loaded.to_bytes().unwrap() == bytes);

        // The order of insertion does not show.
        let mut reversed = Checkpoint::new(kind);
        *reversed.metadata_mut() = metadata;
        for (name, shape, data) in parts.into_iter().rev() {
            reversed.insert(name, &shape, data);
        }
        prop_assert!(reversed.to_bytes().unwrap() == bytes);
    }
}

#[test]
fn borrowed_and_owned_values_give_the_same_file_and_the_file_the_same_values() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.ckpt");
    let weights: Vec<f32> = (0..100_000).map(|i| i as f32 * 0.1).collect();
    let mut borrowed = Checkpoint::new("test");
    borrowed.insert("weight", &[100, 1000], &weights);
    borrowed.save(&path).unwrap();
    let mut owned = Checkpoint::new("test");
    owned.insert("weight", &[100, 1000], weights.clone());
    assert!(std::fs::read(&path).unwrap() == owned.to_bytes().unwrap());
    // A snapshot may outlive the model, and be saved on another thread.
    let snapshot: Checkpoint<'static> = borrowed.into_owned();
    #[allow(clippy::disallowed_methods)] // that it can be saved on another thread is the test
    let saved = std::thread::spawn(move || snapshot.to_bytes()).join().unwrap();
    assert!(saved.unwrap() == owned.to_bytes().unwrap());

    let mut loaded = Checkpoint::load(&path).unwrap();
    assert_eq!(loaded.values::<f32>("weight", &[100, 1000]).unwrap(), weights);
    assert_eq!(loaded.take::<f32>("weight", &[100, 1000]).unwrap(), weights);
    assert!(loaded.get("weight").is_none());
}

#[test]
fn sections_begin_at_multiples_of_64() {
    let mut checkpoint = Checkpoint::new("test");
    checkpoint.insert("a", &[3], *b"abc");
    checkpoint.insert("b", &[4], *b"defg");
    let bytes = checkpoint.to_bytes().unwrap();
    let place = |what: &[u8]| bytes.windows(what.len()).position(|bytes| bytes == what).unwrap();
    assert_eq!(place(b"abc") % 64, 0);
    assert_eq!(place(b"defg"), place(b"abc") + 64);
    assert_eq!(bytes.len(), place(b"defg") + 4);
}

#[test]
fn asking_for_what_is_not_there_is_an_error_in_words() {
    let mut checkpoint = Checkpoint::new("recurrent.language-model");
    checkpoint.insert("weight", &[2, 3], [0.0_f32; 6]);
    let text = |error: ContentError| error.to_string();
    assert_eq!(text(checkpoint.section("bias").unwrap_err()), "has no section `bias`");
    assert_eq!(
        text(checkpoint.values::<f64>("weight", &[2, 3]).unwrap_err()),
        "section `weight` holds f32, not f64"
    );
    assert_eq!(
        text(checkpoint.take::<f32>("weight", &[3, 2]).unwrap_err()),
        "section `weight` has shape [2, 3], not [3, 2]"
    );
    assert!(checkpoint.get("weight").is_some(), "a failed take must leave the section");
    assert_eq!(
        text(checkpoint.require_kind("recurrent.tagger").unwrap_err()),
        "holds a `recurrent.language-model`, not a `recurrent.tagger`"
    );
    assert_eq!(text(checkpoint.require_metadata("cell").unwrap_err()), "has no metadata `cell`");
}

#[test]
#[should_panic(expected = "section `w`: shape [2, 2] does not fit 3 values of f32")]
fn a_shape_that_does_not_fit_panics() {
    Checkpoint::new("test").insert("w", &[2, 2], [0.0_f32; 3]);
}

#[test]
#[should_panic(expected = "has a section `w` already")]
fn a_name_that_is_taken_panics() {
    let mut checkpoint = Checkpoint::new("test");
    checkpoint.insert("w", &[1], [0_u8]);
    checkpoint.insert("w", &[1], [0_u8]);
}
