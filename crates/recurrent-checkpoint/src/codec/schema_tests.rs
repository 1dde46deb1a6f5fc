//! The rules for headers, held against every header that there is.
//!
//! A serializer writes down the shape of what it is given, and refuses what the rules forbid. Its
//! sample must have an item in each list: what is not there has no shape.

use std::fmt;

use serde::ser::{self, Impossible, SerializeSeq, SerializeStruct, SerializeTuple};
use serde::{Deserialize, Serialize, Serializer};

use super::{CONFIGURATION, EntryV1, HeaderV1, Limited, decode, decode_as, encode};
use crate::format::{VERSION, Version};

/// What the rules say against a value.
#[derive(Debug, PartialEq)]
struct Forbidden(String);

impl fmt::Display for Forbidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Forbidden {}

impl ser::Error for Forbidden {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

/// The shape of a value, and how many bytes it takes.
#[derive(Debug, PartialEq)]
struct Shape {
    text: String,
    bytes: usize,
    /// Where the counts of its lists lie.
    counts: Vec<usize>,
}

impl Shape {
    fn new(text: &str, bytes: usize) -> Self {
        Self { text: text.to_owned(), bytes, counts: Vec::new() }
    }

    /// Puts `inner` behind what is there.
    fn append(&mut self, inner: Shape) {
        self.counts.extend(inner.counts.iter().map(|count| self.bytes + count));
        self.bytes += inner.bytes;
    }
}

/// Notes shapes; `depth` is how many values the current one lies in.
#[derive(Clone, Copy)]
struct Recorder {
    depth: usize,
}

/// Far more than any header needs: what is deeper has no end.
const DEEPEST: usize = 8;

impl Recorder {
    fn inside(self) -> Result<Self, Forbidden> {
        if self.depth == DEEPEST {
            return Err(Forbidden("recursion".to_owned()));
        }
        Ok(Self { depth: self.depth + 1 })
    }
}

/// A list, tuple or struct whose parts are being noted.
struct Parts {
    recorder: Recorder,
    shape: Shape,
    /// The shapes of the parts so far.
    texts: Vec<String>,
}

impl Parts {
    fn new(recorder: Recorder, bytes: usize) -> Result<Self, Forbidden> {
        Ok(Self { recorder: recorder.inside()?, shape: Shape::new("", bytes), texts: Vec::new() })
    }

    fn push<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<(), Forbidden> {
        let inner = value.serialize(self.recorder)?;
        self.texts.push(format!("{name}{}", inner.text));
        self.shape.append(inner);
        Ok(())
    }

    fn close(mut self, open: &str, close: &str) -> Shape {
        self.shape.text = format!("{open}{}{close}", self.texts.join(", "));
        self.shape
    }
}

/// Values that the rules forbid, each with its name.
macro_rules! forbid {
    ($($method:ident($($argument:ty),*) $name:literal;)*) => {
        $(fn $method(self, $(_: $argument),*) -> Result<Shape, Forbidden> {
            Err(Forbidden($name.to_owned()))
        })*
    };
}

impl Serializer for Recorder {
    type Ok = Shape;
    type Error = Forbidden;
    type SerializeSeq = Parts;
    type SerializeTuple = Parts;
    type SerializeTupleStruct = Impossible<Shape, Forbidden>;
    type SerializeTupleVariant = Impossible<Shape, Forbidden>;
    type SerializeMap = Impossible<Shape, Forbidden>;
    type SerializeStruct = Parts;
    type SerializeStructVariant = Impossible<Shape, Forbidden>;

    fn serialize_u32(self, _: u32) -> Result<Shape, Forbidden> {
        Ok(Shape::new("u32", 4))
    }

    fn serialize_u64(self, _: u64) -> Result<Shape, Forbidden> {
        Ok(Shape::new("u64", 8))
    }

    fn serialize_str(self, value: &str) -> Result<Shape, Forbidden> {
        Ok(Shape::new("text", 8 + value.len()))
    }

    fn serialize_seq(self, count: Option<usize>) -> Result<Parts, Forbidden> {
        count.ok_or_else(|| Forbidden("a list without a count".to_owned()))?;
        Parts::new(self, 8)
    }

    fn serialize_tuple(self, _: usize) -> Result<Parts, Forbidden> {
        Parts::new(self, 0)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Parts, Forbidden> {
        Parts::new(self, 0)
    }

    forbid! {
        serialize_bool(bool) "a bool";
        serialize_char(char) "a char";
        serialize_i8(i8) "a signed integer";
        serialize_i16(i16) "a signed integer";
        serialize_i32(i32) "a signed integer";
        serialize_i64(i64) "a signed integer";
        serialize_u8(u8) "a small integer";
        serialize_u16(u16) "a small integer";
        serialize_f32(f32) "a floating-point number";
        serialize_f64(f64) "a floating-point number";
        serialize_bytes(&[u8]) "bytes: they belong into sections";
        serialize_none() "an Option";
        serialize_unit() "nothing";
        serialize_unit_struct(&'static str) "nothing";
        serialize_unit_variant(&'static str, u32, &'static str) "an enum";
    }

    fn serialize_some<T: Serialize + ?Sized>(self, _: &T) -> Result<Shape, Forbidden> {
        Err(Forbidden("an Option".to_owned()))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<Shape, Forbidden> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<Shape, Forbidden> {
        Err(Forbidden("an enum".to_owned()))
    }

    fn serialize_tuple_struct(
        self,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleStruct, Forbidden> {
        Err(Forbidden("fields without names".to_owned()))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, Forbidden> {
        Err(Forbidden("an enum".to_owned()))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, Forbidden> {
        Err(Forbidden("a map".to_owned()))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, Forbidden> {
        Err(Forbidden("an enum".to_owned()))
    }
}

impl SerializeSeq for Parts {
    type Ok = Shape;
    type Error = Forbidden;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Forbidden> {
        let before = self.shape.bytes;
        self.push("", value)?;
        if self.shape.bytes == before {
            return Err(Forbidden("an item without size in a list".to_owned()));
        }
        Ok(())
    }

    fn end(mut self) -> Result<Shape, Forbidden> {
        self.texts.dedup();
        self.shape.counts.insert(0, 0);
        match self.texts.len() {
            0 => Err(Forbidden("a list whose items nobody sees: put one into the sample".into())),
            1 => Ok(self.close("[", "]")),
            _ => Err(Forbidden("a list of different items".to_owned())),
        }
    }
}

impl SerializeTuple for Parts {
    type Ok = Shape;
    type Error = Forbidden;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Forbidden> {
        self.push("", value)
    }

    fn end(self) -> Result<Shape, Forbidden> {
        Ok(self.close("(", ")"))
    }
}

impl SerializeStruct for Parts {
    type Ok = Shape;
    type Error = Forbidden;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), Forbidden> {
        self.push(&format!("{name}: "), value)
    }

    fn skip_field(&mut self, _: &'static str) -> Result<(), Forbidden> {
        Err(Forbidden("a field that is left out".to_owned()))
    }

    fn end(self) -> Result<Shape, Forbidden> {
        Ok(self.close("{", "}"))
    }
}

/// The shape of a sample, when it keeps the rules.
fn shape(sample: &impl Serialize) -> Result<Shape, Forbidden> {
    sample.serialize(Recorder { depth: 0 })
}

fn sample() -> HeaderV1<'static> {
    HeaderV1 {
        kind: "kind",
        metadata: Limited(vec![("a", "bc"), ("d", "")]),
        sections: Limited(vec![EntryV1 {
            name: "w",
            element_type: 1,
            shape: Limited(vec![2, 3]),
            offset: 192,
            length: 24,
            checksum: 0xDEAD_BEEF,
        }]),
    }
}

/// Holds a header against the rules: each has a test with its sample and its shape.
fn keeps_the_rules(sample: &impl Serialize, bytes: &[u8], expected: &str) {
    let shape = shape(sample).unwrap();
    assert_eq!(shape.text, expected);
    assert_eq!(shape.bytes, bytes.len(), "the codec adds or leaves out something");
}

#[test]
fn header_v1_keeps_the_rules() {
    let bytes = encode(&sample()).unwrap();
    let expected = "{kind: text, metadata: [(text, text)], sections: [{name: text, \
                    element_type: u32, shape: [u64], offset: u64, length: u64, checksum: u32}]}";
    keeps_the_rules(&sample(), &bytes, expected);

    // Every list is a `Limited`: a count is refused before any item.
    let counts = shape(&sample()).unwrap().counts;
    assert_eq!(counts.len(), 3);
    for count in counts {
        let mut bytes = bytes.clone();
        bytes.resize(1 << 20, 0);
        bytes[count..count + 8].copy_from_slice(&65_535_u64.to_le_bytes());
        let error = decode(VERSION, &bytes).unwrap_err();
        assert!(error.contains("a list has more than"), "{error}");
    }
}

#[test]
fn what_the_rules_forbid_is_seen() {
    #[derive(Serialize)]
    struct Nothing {}
    #[derive(Serialize)]
    struct Optional {
        skipped: Option<u32>,
    }
    #[derive(Serialize)]
    struct LeftOut {
        #[serde(skip_serializing_if = "String::is_empty")]
        text: String,
    }
    #[derive(Serialize)]
    struct Flat {
        #[serde(flatten)]
        inner: LeftOut,
    }
    #[derive(Serialize)]
    struct Recursive {
        inner: Vec<Recursive>,
    }
    #[derive(Serialize)]
    enum Choice {
        This,
        That(u32),
    }

    let reason = |shape: Result<Shape, Forbidden>| shape.unwrap_err().0;
    let map = std::collections::BTreeMap::from([("a", "b")]);
    assert_eq!(reason(shape(&map)), "a map");
    assert_eq!(reason(shape(&true)), "a bool");
    assert_eq!(reason(shape(&Optional { skipped: Some(1) })), "an Option");
    assert_eq!(reason(shape(&Optional { skipped: None })), "an Option");
    assert_eq!(reason(shape(&vec![Nothing {}])), "an item without size in a list");
    assert_eq!(reason(shape(&vec![()])), "nothing");
    assert_eq!(reason(shape(&LeftOut { text: String::new() })), "a field that is left out");
    assert_eq!(reason(shape(&Flat { inner: LeftOut { text: "a".into() } })), "a map");
    assert_eq!(reason(shape(&vec![Choice::This])), "an enum");
    assert_eq!(reason(shape(&Choice::That(1))), "an enum");
    // However a recursive type ends, it is seen: by its empty list, or by its depth.
    let mut recursive = Recursive { inner: Vec::new() };
    assert!(reason(shape(&recursive)).contains("nobody sees"));
    for _ in 0..DEEPEST {
        recursive = Recursive { inner: vec![recursive] };
    }
    assert_eq!(reason(shape(&recursive)), "recursion");
}

/// How a successor is added: beside what is released, which stays as it is.
#[test]
fn a_successor_needs_no_change_of_header_v1() {
    #[derive(Serialize, Deserialize)]
    struct HeaderV2<'a> {
        kind: &'a str,
        #[serde(borrow)]
        metadata: Limited<(&'a str, &'a str), 16_384>,
        #[serde(borrow)]
        sections: Limited<EntryV1<'a>, 16_384>,
        comment: &'a str,
    }

    impl<'a> From<HeaderV1<'a>> for HeaderV2<'a> {
        fn from(HeaderV1 { kind, metadata, sections }: HeaderV1<'a>) -> Self {
            Self { kind, metadata, sections, comment: "" }
        }
    }

    let old = encode(&sample()).unwrap();
    let (read, used) = decode_as::<HeaderV1<'_>>(&old).unwrap();
    assert_eq!(used, old.len());
    let new = HeaderV2 { comment: "new", ..read.into() };
    let bytes = bincode::serde::encode_to_vec(&new, CONFIGURATION).unwrap();
    let expected = "{kind: text, metadata: [(text, text)], sections: [{name: text, \
                    element_type: u32, shape: [u64], offset: u64, length: u64, checksum: u32}], \
                    comment: text}";
    keeps_the_rules(&new, &bytes, expected);

    // As a minor version it appends, and this build reads what it knows of it.
    let newer = Version { minor: VERSION.minor + 1, ..VERSION };
    assert_eq!(decode(newer, &bytes), Ok((sample(), old.len())));
    // As a major version it is not read by guessing.
    let newer = Version { major: VERSION.major + 1, minor: 0 };
    assert!(decode(newer, &bytes).is_err());
}
