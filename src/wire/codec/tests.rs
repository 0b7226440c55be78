//! What the codec promises: every serde type comes back as it was, in every place that serde
//! can put it; bytes from outside give errors, never panics, aborts or large allocations.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::ffi::OsString;
use std::fmt::Debug;
use std::marker::PhantomData;
use std::net::{IpAddr, SocketAddr};
use std::num::{NonZeroU8, NonZeroU32, Wrapping};
use std::ops::Bound;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

use proptest::prelude::*;
use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde::ser::{SerializeMap, SerializeSeq, SerializeStruct, Serializer};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_bytes::ByteBuf;
use serde_json::json;
use uuid::Uuid;

use super::{CodecError, MAX_DEPTH, decode, encode, tag};

// ---- Types ----

/// Derives what every test type needs.
macro_rules! types {
    ($($item:item)*) => { $(
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        $item
    )* };
}

types! {
    struct Unit;
    struct Empty {}
    struct Field<T> { v: T }
    struct Pair(i64, String);
    struct Newtype<T>(T);
    #[serde(transparent)]
    struct Transparent { v: Vec<String> }
    #[serde(try_from = "String", into = "String")]
    struct Converted(String);
    struct WithBytes { #[serde(with = "serde_bytes")] v: Vec<u8> }
    struct Skips {
        #[serde(skip_serializing_if = "Option::is_none", default)] a: Option<i32>,
        b: i32,
        #[serde(skip)] c: u8,
    }
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Renamed { my_field: i32, #[serde(rename = "type", alias = "ty")] kind: String }
    enum Shape<T> { A, New(T), Tuple(i64, T), Struct { x: T, y: Option<i8> }, NoFields {}, NoItems() }

    #[serde(untagged)]
    enum Untagged<T> { Value(T) }
    #[serde(tag = "t")]
    enum Internal<T> { Value { v: T } }
    #[serde(tag = "t", content = "c")]
    enum Adjacent<T> { Value(T), Tuple(u8, T), Struct { v: T }, Unit }
    struct Flat<T> { id: u32, #[serde(flatten)] inner: Field<T>, end: bool }

    #[serde(untagged)]
    enum Any {
        Bool(bool), U64(u64), I64(i64), F64(f64), Text(String), Seq(Vec<i64>),
        Map(BTreeMap<String, i64>), Struct { a: i32, b: Vec<String> }, Nothing,
    }
    #[serde(untagged)]
    enum TextOrBytes { Text(String), Bytes(ByteBuf), Seq(Vec<u8>), Number(i64) }
    #[serde(untagged)]
    enum ByteOrText { Byte(u8), Text(String) }
    #[serde(untagged)]
    enum IpOrNumber { Ip(IpAddr), Number(i64) }
    #[serde(untagged)]
    enum WideOrNarrow { Wide(u128), Narrow(u64), Text(String) }
    #[serde(tag = "t")]
    enum Message { Struct { x: i64, y: Option<String> }, New(Field<i64>), Unit, Map(BTreeMap<String, i64>) }
    struct FlatMap { id: u32, #[serde(flatten)] rest: HashMap<String, serde_json::Value> }
    struct FlatOption { id: u32, #[serde(flatten)] inner: Option<Field<i64>> }
    struct FlatEnum { id: u32, #[serde(flatten)] inner: Shape<u8> }

    struct List { next: Option<Box<List>> }
    struct Tree(Vec<Tree>);
    enum Cons { Nil, Cons(Box<Cons>) }
    enum Chain { End, Link { next: Box<Chain> } }
    #[serde(untagged)]
    enum UntaggedTree { Leaf(i64), Node(Vec<UntaggedTree>) }
    #[serde(tag = "t")]
    enum Tagged { Leaf, Node { next: Box<Tagged> } }
    struct Circle(Option<Box<Circle>>);
    #[derive(Default)]
    struct Wide {
        a: [Option<String>; 4], b: Option<String>, c: Option<String>, d: Option<String>,
        e: Option<String>, f: Option<String>, g: Option<String>, h: Vec<u8>, i: Vec<String>,
        j: (String, String, String, String), k: Option<BTreeMap<String, String>>,
        next: Option<Box<Wide>>,
    }
}

/// A key of a map that is no string.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
enum Key {
    Unit,
    New(u8),
    Struct { a: i32, b: String },
}

/// A number that is compared by its bits.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Bits<T>(T);

impl PartialEq for Bits<f64> {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}

impl PartialEq for Bits<f32> {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}

impl TryFrom<String> for Converted {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Ok(Self(text))
    }
}

impl From<Converted> for String {
    fn from(converted: Converted) -> Self {
        converted.0
    }
}

// ---- Helpers ----

/// What a value is encoded as.
fn bytes_of<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    let mut out = Vec::new();
    encode(value, &mut out).unwrap();
    out
}

/// The value as it comes back, read as another type.
fn convert<T: DeserializeOwned>(value: &(impl Serialize + ?Sized)) -> Result<T, CodecError> {
    decode(&bytes_of(value))
}

/// Checks that the value comes back, that encoding appends, and that no byte is too many or
/// too few.
#[track_caller]
fn comes_back<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) {
    let mut out = b"before".to_vec();
    encode(value, &mut out).unwrap();
    let bytes = out.strip_prefix(b"before").unwrap();
    match decode::<T>(bytes) {
        Ok(back) => assert_eq!(&back, value),
        Err(error) => panic!("{value:?}: {error}"),
    }
    decode::<de::IgnoredAny>(bytes).unwrap();
    if bytes.len() < 500 {
        for end in 0..bytes.len() {
            assert!(decode::<T>(&bytes[..end]).is_err(), "{value:?} of {end} bytes");
            assert!(decode::<de::IgnoredAny>(&bytes[..end]).is_err(), "{value:?} of {end} bytes");
        }
    }
    out.push(tag::UNIT);
    assert!(decode::<T>(&out[6..]).is_err(), "{value:?}: a byte too many");
}

/// Every place that is read without a buffer.
type Direct<T> = (
    (T, Option<T>, Option<Option<T>>, Vec<T>, Vec<Option<T>>, (u8, T, String), [T; 2]),
    (BTreeMap<u8, T>, Field<T>, Newtype<T>, Result<T, ()>, Result<(), T>, Vec<Shape<T>>),
);

/// Every way in which serde reads into a buffer first.
type Buffered<T> = (Untagged<Vec<T>>, Internal<Option<T>>, Flat<(T, Shape<T>)>, Vec<Adjacent<T>>);

/// Checks that the value comes back from every place that is read without a buffer.
#[track_caller]
fn comes_back_directly<T>(value: T)
where
    T: Serialize + DeserializeOwned + PartialEq + Debug + Clone,
{
    let v = || value.clone();
    let tuple = (1, v(), "end".to_string());
    let shapes = vec![
        Shape::A,
        Shape::New(v()),
        Shape::Tuple(1, v()),
        Shape::Struct { x: v(), y: Some(1) },
        Shape::NoFields {},
        Shape::NoItems(),
    ];
    comes_back::<Direct<T>>(&(
        (v(), Some(v()), Some(Some(v())), vec![v(); 3], vec![Some(v()), None], tuple, [v(), v()]),
        (BTreeMap::from([(1, v())]), Field { v: v() }, Newtype(v()), Ok(v()), Err(v()), shapes),
    ));
}

/// Checks that the value comes back from every place, those included that serde reads into
/// a buffer first.
#[track_caller]
fn comes_back_from_everywhere<T>(value: T)
where
    T: Serialize + DeserializeOwned + PartialEq + Debug + Clone,
{
    let v = || value.clone();
    comes_back::<Buffered<T>>(&(
        Untagged::Value(vec![v()]),
        Internal::Value { v: Some(v()) },
        Flat { id: 1, inner: Field { v: (v(), Shape::Tuple(1, v())) }, end: true },
        vec![
            Adjacent::Value(v()),
            Adjacent::Tuple(1, v()),
            Adjacent::Struct { v: v() },
            Adjacent::Unit,
        ],
    ));
    comes_back_directly(value);
}

/// Noise.
fn noise(len: usize) -> Vec<u8> {
    let mut x = 88_172_645_463_325_252_u64;
    std::iter::repeat_with(|| {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        (x >> 24) as u8
    })
    .take(len)
    .collect()
}

/// Runs a test on the stack that a thread of Rust's has.
#[track_caller]
fn on_a_usual_stack(test: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().stack_size(2 << 20).spawn(test).unwrap().join().unwrap();
}

// ---- Every type, everywhere ----

#[test]
fn scalars() {
    macro_rules! edges {
        ($($int:ty)*) => { $(
            for shift in 0..<$int>::BITS {
                let edge = <$int>::MAX >> shift;
                comes_back(&[edge, edge.wrapping_add(1), edge.wrapping_neg()]);
            }
        )* };
    }
    edges!(u8 u16 u32 u64 usize i8 i16 i32 i64 isize);
    comes_back_from_everywhere((u8::MAX, u16::MAX, u32::MAX, u64::MAX, usize::MAX, 0u8, 0u64));
    comes_back_from_everywhere((i8::MIN, i16::MIN, i32::MIN, i64::MIN, isize::MIN, -1i8, -1i64));
    comes_back_from_everywhere((true, false, (), 'a', ['\0', '💥', '\u{d7ff}', '\u{10ffff}']));
    comes_back_from_everywhere("a\0b💥\u{10ffff}\u{feff}".to_string());
    comes_back_from_everywhere(String::new());
    comes_back(&"é".repeat(50_000));
}

#[test]
fn floats_keep_their_bits() {
    let doubles = [0.0, -0.0, 0.1, 2.0, f64::MIN_POSITIVE, 5e-324, f64::MAX, f64::INFINITY];
    let nans =
        [f64::NAN, f64::from_bits(0xfff8_0000_dead_beef), f64::from_bits(0x7ff0_0000_0000_0001)];
    for number in doubles.into_iter().chain(nans) {
        comes_back_from_everywhere(Bits(number));
        comes_back_from_everywhere(Bits(-number));
    }
    for number in [1.1, f32::MAX, -0.0, f32::NEG_INFINITY, f32::NAN, f32::from_bits(0xffa1_2345)] {
        comes_back_from_everywhere(Bits(number));
    }
}

#[test]
fn options_nest() {
    comes_back_from_everywhere((None::<u8>, Some(None::<u8>), Some(Some(None::<u8>))));
    comes_back_from_everywhere((None::<()>, Some(()), Some(Unit), Some(None::<()>)));
    comes_back_from_everywhere((Newtype(None::<i64>), Some(Newtype(None::<i64>))));
    comes_back_from_everywhere((Ok::<_, String>(None::<u8>), Some(Err::<(), _>(Some(1)))));
    comes_back_from_everywhere(vec![Some(Shape::A::<()>), None, Some(Shape::New(()))]);
    comes_back_from_everywhere(None::<u8>);
    comes_back(&Some(()));
    comes_back(&Some(None::<String>));
}

#[test]
fn structs_and_enums() {
    comes_back_from_everywhere((Unit, Empty {}, Pair(1, "x".into()), Newtype(Newtype(1.5))));
    comes_back_from_everywhere((Transparent { v: vec!["x".into()] }, Converted("x".into())));
    let skips = [Skips { a: None, b: 1, c: 0 }, Skips { a: Some(1), b: 1, c: 0 }];
    comes_back_from_everywhere((skips, Renamed { my_field: 1, kind: "x".into() }));
    comes_back(&(1i8, 2u8, 3i16, 4u16, 5i32, 6u32, 7i64, 8u64, 1.5f32, 2.5f64, true, 'x'));
    comes_back(&vec![Shape::A::<u8>; 1000]);
}

#[test]
fn collections_and_keys_of_any_type() {
    comes_back_from_everywhere((Vec::<i32>::new(), BTreeMap::<String, i32>::new(), vec![(); 3]));
    comes_back_from_everywhere((VecDeque::from([1u8, 200]), BTreeSet::from([-1i64, 5])));
    comes_back_from_everywhere((
        HashMap::from([(1u32, "a".to_string()), (u32::MAX, "b".into())]),
        BTreeMap::from([(-5i64, 1)]),
        BTreeMap::from([(true, 1)]),
        BTreeMap::from([('💥', 1)]),
        BTreeMap::from([((), 1)]),
    ));
    comes_back_from_everywhere((
        BTreeMap::from([((1i32, "a".to_string()), 2)]),
        BTreeMap::from([([200u8, 1], 2)]),
        BTreeMap::from([(vec![255u8, 1], 2)]),
        BTreeMap::from([(None, 1), (Some(None), 2), (Some(Some(3u8)), 3)]),
        BTreeMap::from([
            (Key::Unit, 1),
            (Key::New(3), 2),
            (Key::Struct { a: 1, b: "b".into() }, 3),
        ]),
    ));
    comes_back(&(0..100_000u32).map(|i| (i, i)).collect::<BTreeMap<_, _>>());
    comes_back(&(0..300u32).map(|i| (i, vec![i; 300])).collect::<Vec<_>>());
}

#[test]
fn types_of_the_standard_library_and_others() {
    let addresses: [IpAddr; 2] = ["10.1.2.3".parse().unwrap(), "fe80::1".parse().unwrap()];
    let socket: SocketAddr = "[::1]:80".parse().unwrap();
    comes_back_from_everywhere((addresses, socket, BTreeMap::from([(addresses[1], 1)])));
    comes_back_from_everywhere((Duration::MAX, UNIX_EPOCH + Duration::new(1 << 33, 7)));
    comes_back_from_everywhere((PathBuf::from("/a/é"), OsString::from_vec(vec![b'a', 0xff])));
    comes_back_from_everywhere((Box::<str>::from("x"), Cow::<'static, str>::Owned("y".into())));
    comes_back_from_everywhere((0..5i32, Bound::Included(3), Wrapping(3u8), NonZeroU32::MAX));
    comes_back_from_everywhere((Uuid::from_u128(77), [NonZeroU8::MAX, NonZeroU8::MIN]));
    let value = json!({
        "a": [1, -2, 3.5, 1e300, 2.0, null, true, "x", {"k": u64::MAX}], "e": {}, "f": []
    });
    comes_back_from_everywhere((Some(serde_json::Value::Null), value));
}

#[test]
fn bytes_in_every_form() {
    for len in [0, 1, 3, 255, 256, 70_000] {
        comes_back_from_everywhere((noise(len), ByteBuf::from(noise(len))));
    }
    comes_back_from_everywhere(([200u8; 32], [0u8; 0], (200u8, 1u8), vec![[1u8, 2], [255, 0]]));
    comes_back_from_everywhere((noise(40).into_boxed_slice(), vec![vec![1u8, 255], vec![]]));
    comes_back_from_everywhere((vec![Newtype(1u8), Newtype(255)], WithBytes { v: noise(300) }));
    comes_back_from_everywhere((HashSet::from([1u8, 200]), vec![Some(1u8), None], vec![-1i8]));
    comes_back(&noise(1 << 20));
    comes_back(&ByteBuf::from(noise(1 << 20)));
}

#[test]
fn bytes_and_sequences_of_u8_serve_for_each_other() {
    for len in [0, 3, 1000] {
        let (vec, buf) = (noise(len), ByteBuf::from(noise(len)));
        assert_eq!(convert::<ByteBuf>(&vec).unwrap(), buf);
        assert_eq!(convert::<Vec<u8>>(&buf).unwrap(), vec);
        assert_eq!(convert::<Vec<i64>>(&vec).unwrap().len(), len);
    }
    assert_eq!(convert::<[u8; 2]>(&ByteBuf::from([1, 2])).unwrap(), [1, 2]);
    assert_eq!(convert::<Vec<Option<u8>>>(&[1u8, 2]).unwrap(), [Some(1), Some(2)]);
}

#[test]
fn a_sequence_that_begins_with_bytes_may_go_on_otherwise() {
    for bytes in [0, 1, 2, 255, 256, 1000] {
        for others in [1, 2, 300] {
            let byte = (0..bytes).map(|i| ByteOrText::Byte(i as u8));
            let text = (0..others).map(|i| ByteOrText::Text("x".repeat(i)));
            comes_back(&byte.clone().chain(text.clone()).collect::<Vec<_>>());
            comes_back(&text.chain(byte).collect::<Vec<_>>());
        }
    }
}

// ---- Serde's own representations ----

#[test]
fn untagged_enums() {
    comes_back(&vec![Any::Bool(true), Any::Text("x".into()), Any::Nothing]);
    comes_back(&vec![Any::U64(u64::MAX), Any::I64(i64::MIN), Any::I64(-1)]);
    comes_back(&vec![Any::F64(1.5), Any::F64(2.0)]);
    comes_back(&vec![Any::Seq(vec![1, -1]), Any::Map(BTreeMap::from([("k".into(), 1)]))]);
    comes_back(&Any::Struct { a: 1, b: vec!["z".into()] });
    comes_back(&vec![
        TextOrBytes::Text("x".into()),
        TextOrBytes::Bytes(ByteBuf::from([0, 255])),
        TextOrBytes::Number(1),
    ]);
    comes_back(&vec![ByteOrText::Byte(1), ByteOrText::Text("a".into())]);
    comes_back(&vec![IpOrNumber::Ip([10, 1, 2, 3].into()), IpOrNumber::Number(5)]);
}

#[test]
fn tagged_and_flattened() {
    comes_back(&vec![
        Message::Struct { x: 1, y: Some("s".into()) },
        Message::Struct { x: 1, y: None },
        Message::New(Field { v: 1 }),
        Message::Unit,
        Message::Map(BTreeMap::from([("k".into(), -5)])),
    ]);
    comes_back(&FlatMap {
        id: 1,
        rest: HashMap::from([("v".into(), json!([1, null])), ("n".into(), json!(null))]),
    });
    comes_back(&FlatMap { id: 1, rest: (0..70_000).map(|i| (i.to_string(), json!(i))).collect() });
    comes_back(&FlatOption { id: 1, inner: None });
    comes_back(&FlatOption { id: 1, inner: Some(Field { v: 1 }) });
    comes_back(&FlatEnum { id: 1, inner: Shape::New(1) });
    comes_back(&FlatEnum { id: 1, inner: Shape::Struct { x: 1, y: None } });
}

#[test]
fn integers_of_128_bits_come_back_directly() {
    for number in [0, 5, u128::MAX, u128::from(u64::MAX) + 1] {
        comes_back_directly(number);
        comes_back(&BTreeMap::from([(number, i128::MIN)]));
    }
    for number in [i128::MIN, i128::MAX, -1] {
        comes_back_directly(number);
    }
}

#[test]
fn serde_takes_bytes_that_are_text_for_text() {
    // Its buffers offer bytes to a `String` listed before them, in every format that has bytes.
    let bytes = TextOrBytes::Bytes(ByteBuf::from(*b"text"));
    assert_eq!(convert::<TextOrBytes>(&bytes).unwrap(), TextOrBytes::Text("text".into()));
    let bytes = TextOrBytes::Bytes(ByteBuf::from([0xff]));
    assert_eq!(convert::<TextOrBytes>(&bytes).unwrap(), bytes);
}

#[test]
fn what_serde_cannot_do_is_an_error() {
    // Serde's buffers hold no 128 bits. A small one must not come back as `Narrow`.
    for wide in [5, u128::MAX] {
        assert!(convert::<WideOrNarrow>(&WideOrNarrow::Wide(wide)).is_err());
        assert!(convert::<Internal<u128>>(&Internal::Value { v: wide }).is_err());
        let flat = Flat { id: 1, inner: Field { v: wide }, end: true };
        assert!(convert::<Flat<u128>>(&flat).is_err());
    }
    let path = PathBuf::from(OsString::from_vec(vec![b'a', 0xff]));
    let mut out = b"before".to_vec();
    assert!(encode(&("x", path), &mut out).is_err());
    assert_eq!(out, b"before");
}

#[test]
fn serde_checks_ranges_and_types() {
    assert_eq!(convert::<u8>(&255i64).unwrap(), 255);
    assert_eq!(convert::<f64>(&1u8).unwrap(), 1.0);
    assert_eq!(convert::<i128>(&-1i8).unwrap(), -1);
    assert!(convert::<u8>(&256i64).is_err());
    assert!(convert::<u64>(&-1i8).is_err());
    assert!(convert::<String>(&1).is_err());
    assert!(convert::<()>(&None::<()>).is_err());
    assert!(convert::<Key>(&1).unwrap_err().to_string().contains("enum Key"));
    assert!(convert::<Key>(&"Other").unwrap_err().to_string().contains("Other"));
    assert!(convert::<Key>(&"New").is_err());
    assert!(convert::<Renamed>(&BTreeMap::from([("other", 1)])).is_err());
}

#[test]
fn all_items_must_be_taken() {
    assert!(convert::<(u8, i64)>(&(1u8, 2i64, 3u8)).is_err());
    assert!(convert::<[u8; 2]>(&[1u8, 2, 3]).is_err());
    assert!(convert::<(u8, i64)>(&(1u8,)).is_err());
    assert!(convert::<Shape<u8>>(&Err::<(), u8>(1)).is_err());
}

#[test]
fn types_that_write_and_read_an_option_differently() {
    assert_eq!(convert::<Option<u8>>(&5u8).unwrap(), Some(5));
    assert_eq!(convert::<Option<String>>("x").unwrap(), Some("x".into()));
    assert_eq!(convert::<Option<u8>>(&()).unwrap(), None);
    assert_eq!(convert::<u8>(&Some(Some(5u8))).unwrap(), 5);
    assert_eq!(convert::<Vec<u8>>(&Some(vec![5u8])).unwrap(), [5]);
    assert_eq!(convert::<Key>(&Some(Key::New(1))).unwrap(), Key::New(1));
    // An enum written by hand as other self-describing formats hold it.
    assert_eq!(convert::<Key>(&BTreeMap::from([("New", 1)])).unwrap(), Key::New(1));
    assert_eq!(convert::<Key>("Unit").unwrap(), Key::Unit);
}

// ---- Types that bend serde's rules ----

/// Announces one count of items and writes another.
struct Announces(Option<usize>, usize);

impl Serialize for Announces {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut seq = serializer.serialize_seq(self.0)?;
        for i in 0..self.1 {
            seq.serialize_element(&(i as u8))?;
        }
        seq.end()
    }
}

/// The same for a map.
struct AnnouncesMap(Option<usize>, usize);

impl Serialize for AnnouncesMap {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(self.0)?;
        for i in 0..self.1 {
            map.serialize_entry(&i, "x")?;
        }
        map.end()
    }
}

#[test]
fn an_announced_count_need_not_be_true() {
    for announced in [None, Some(0), Some(3), Some(300), Some(70_000), Some(usize::MAX)] {
        for count in [0, 1, 3, 255, 256, 70_000] {
            let seq = bytes_of(&(Announces(announced, count), "end"));
            let (back, end) = decode::<(Vec<u8>, String)>(&seq).unwrap();
            assert_eq!((back.len(), &*end), (count, "end"));
            assert!(back.iter().enumerate().all(|(i, &byte)| byte == i as u8));
            let map = bytes_of(&(AnnouncesMap(announced, count), "end"));
            let (back, end) = decode::<(BTreeMap<usize, String>, String)>(&map).unwrap();
            assert_eq!((back.len(), &*end), (count, "end"));
        }
    }
}

/// Fails after it has written a part of itself.
struct Fails;

impl Serialize for Fails {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut seq = serializer.serialize_seq(Some(2))?;
        seq.serialize_element("part")?;
        Err(serde::ser::Error::custom("fails"))
    }
}

/// Fails before it has written anything.
struct FailsAtOnce;

impl Serialize for FailsAtOnce {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("fails"))
    }
}

/// Goes on after an error in a field.
struct SwallowsInStruct;

impl Serialize for SwallowsInStruct {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("SwallowsInStruct", 1)?;
        let _ = fields.serialize_field("v", &FailsAtOnce);
        fields.end()
    }
}

/// Goes on after an error of its element.
struct Swallows;

impl Serialize for Swallows {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut seq = serializer.serialize_seq(Some(1))?;
        let _ = seq.serialize_element(&Fails);
        seq.end()
    }
}

/// Writes a key without a value.
struct HalfAnEntry;

impl Serialize for HalfAnEntry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_key("key")?;
        map.end()
    }
}

#[test]
fn an_unfinished_value_is_an_error_and_leaves_the_buffer_as_it_was() {
    let mut out = b"before".to_vec();
    assert_eq!(encode(&[Fails], &mut out).unwrap_err().to_string(), "fails");
    assert!(encode(&Swallows, &mut out).is_err());
    assert!(encode(&SwallowsInStruct, &mut out).is_err());
    assert!(encode(&HalfAnEntry, &mut out).is_err());
    assert_eq!(out, b"before");
}

#[test]
fn going_on_after_an_error_in_a_part_is_an_error_or_right() {
    /// Takes a zero for what is not a number.
    #[derive(Debug, PartialEq)]
    struct Lenient(Vec<u8>);

    impl<'de> Deserialize<'de> for Lenient {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Numbers;
            impl<'de> Visitor<'de> for Numbers {
                type Value = Lenient;

                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("a sequence")
                }

                fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Lenient, A::Error> {
                    let mut numbers = Vec::new();
                    while let Some(number) = seq.next_element::<u8>().unwrap_or(Some(0)) {
                        numbers.push(number);
                    }
                    Ok(Lenient(numbers))
                }
            }
            deserializer.deserialize_seq(Numbers)
        }
    }

    assert_eq!(convert::<Lenient>(&(1, "x", true, 2)).unwrap(), Lenient(vec![1, 0, 0, 2]));
    assert!(convert::<Lenient>(&(1, ("x", "y"), 2)).is_err());
    assert!(convert::<Lenient>(&(1, Some(Key::New(1)), 2)).is_err());
}

// ---- Sizes ----

#[test]
fn bytes_take_their_own_size() {
    let len = 1 << 20;
    for encoded in [bytes_of(&noise(len)), bytes_of(&ByteBuf::from(noise(len)))] {
        assert!(encoded.len() <= len + len / 100);
    }
}

#[test]
fn the_layout_is_the_one_documented() {
    assert_eq!(bytes_of(&(1u8, 2u8)), [0x88, 2, 1, 2]);
    assert_eq!(bytes_of(&(1u8, -2i64, 300u16)), [0x8c, 3, 0x40, 1, 0x5c, 0xfe, 0x45, 44, 1]);
    assert_eq!(bytes_of(&Some(Some(()))), [2, 2, 0]);
    assert_eq!(bytes_of(&Key::Unit), b"\x80\x04Unit");
    assert_eq!(bytes_of(&Key::New(7)), b"\x0a\x80\x03New\x40\x07");
    assert_eq!(bytes_of(&Field { v: true }), b"\x90\x01\x80\x01v\x04");
}

// ---- Hostile input ----

#[test]
fn a_claimed_length_reserves_nothing() {
    /// Fails the test if it is offered a sequence.
    #[derive(Debug)]
    struct Unreached;

    impl<'de> Deserialize<'de> for Unreached {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Offered;
            impl<'de> Visitor<'de> for Offered {
                type Value = Unreached;

                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("nothing")
                }

                fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<Unreached, A::Error> {
                    panic!("offered a sequence longer than the input");
                }
            }
            deserializer.deserialize_any(Offered)
        }
    }

    for base in [tag::STR, tag::BYTES, tag::BYTE_SEQ, tag::SEQ, tag::MAP] {
        for (width, claim) in [(2, u64::from(u32::MAX)), (3, u64::MAX), (3, 1 << 40), (0, 200)] {
            let size = 1 << width;
            let mut bytes = vec![base | width];
            bytes.extend_from_slice(&claim.to_le_bytes()[..size]);
            bytes.extend_from_slice(&[tag::UNIT; 100]);
            assert!(decode::<Unreached>(&bytes).is_err());
            assert!(decode::<Vec<()>>(&bytes).is_err());
            assert!(decode::<Vec<[u64; 32]>>(&bytes).is_err());
            assert!(decode::<HashMap<(), ()>>(&bytes).is_err());
            assert!(decode::<String>(&bytes).is_err());
            assert!(decode::<ByteBuf>(&bytes).is_err());
            assert!(decode::<serde_json::Value>(&bytes).is_err());
            assert!(decode::<de::IgnoredAny>(&bytes).is_err());
        }
    }
}

#[test]
fn a_true_length_reserves_little_in_advance() {
    /// The size hint that a sequence came with.
    struct Hint<T>(usize, PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Deserialize<'de> for Hint<T> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Hinted<T>(PhantomData<T>);
            impl<'de, T: Deserialize<'de>> Visitor<'de> for Hinted<T> {
                type Value = Hint<T>;

                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("a sequence")
                }

                fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Hint<T>, A::Error> {
                    let hint = seq.size_hint().unwrap();
                    while seq.next_element::<T>()?.is_some() {}
                    Ok(Hint(hint, PhantomData))
                }
            }
            deserializer.deserialize_seq(Hinted(PhantomData))
        }
    }

    assert_eq!(convert::<Hint<u8>>(&vec![1u8; 100]).unwrap().0, 100);
    assert_eq!(convert::<Hint<u8>>(&vec![1u8; 1 << 20]).unwrap().0, 4096);
    assert_eq!(convert::<Hint<()>>(&vec![(); 1 << 20]).unwrap().0, 4096);
}

#[test]
fn nesting_has_a_limit_on_both_sides() {
    /// Checks that `max` levels of the type come back and one more cannot be written.
    fn limit<T>(max: usize, end: T, wrap: fn(T) -> T)
    where
        T: Serialize + DeserializeOwned + PartialEq + Debug + Send + 'static,
    {
        on_a_usual_stack(move || {
            let deepest = (0..max).fold(end, |inner, _| wrap(inner));
            let bytes = bytes_of(&deepest);
            assert_eq!(decode::<T>(&bytes).unwrap(), deepest);
            let mut out = Vec::new();
            assert!(encode(&wrap(deepest), &mut out).is_err());
            assert!(out.is_empty());
        });
    }

    limit(MAX_DEPTH - 1, Tree(vec![]), |tree| Tree(vec![tree]));
    limit(MAX_DEPTH / 2 - 1, List { next: None }, |list| List { next: Some(Box::new(list)) });
    limit(MAX_DEPTH, Cons::Nil, |cons| Cons::Cons(Box::new(cons)));
    limit(MAX_DEPTH / 2, Chain::End, |chain| Chain::Link { next: Box::new(chain) });
    limit(MAX_DEPTH, UntaggedTree::Leaf(1), |tree| UntaggedTree::Node(vec![tree]));
    limit(MAX_DEPTH - 1, Tagged::Leaf, |tagged| Tagged::Node { next: Box::new(tagged) });
    limit(MAX_DEPTH, serde_json::Value::Null, |value| json!([value]));
    limit(MAX_DEPTH - 1, json!({}), |value| json!({ "key": value }));
    limit(MAX_DEPTH, Circle(None), |circle| Circle(Some(Box::new(circle))));
}

#[test]
fn deep_nesting_of_large_structs_ends_well() {
    on_a_usual_stack(|| {
        let wrap = |inner, _| Wide { next: Some(Box::new(inner)), ..Wide::default() };
        let wide = (0..MAX_DEPTH / 2 - 1).fold(Wide::default(), wrap);
        // Without optimization a level takes so much stack that not all are read.
        match convert::<Wide>(&wide) {
            Ok(back) => assert_eq!(back, wide),
            Err(error) => assert!(error.to_string().contains("too deep"), "{error}"),
        }
        let few = (0..50).fold(Wide::default(), wrap);
        assert_eq!(convert::<Wide>(&few).unwrap(), few);
    });
}

#[test]
fn deep_input_is_an_error() {
    /// Reads `levels` times `level`, then `end`.
    fn deep<T: DeserializeOwned>(level: &[u8], end: &[u8]) {
        for levels in [MAX_DEPTH + 1, 1_000_000] {
            let bytes = [level.repeat(levels).as_slice(), end].concat();
            on_a_usual_stack(move || {
                let error = decode::<T>(&bytes).err().unwrap();
                assert!(error.to_string().contains("too deep"), "{error}");
                // What is skipped may be as deep as it likes.
                decode::<de::IgnoredAny>(&bytes).unwrap();
            });
        }
    }

    deep::<Tree>(&[tag::SEQ, 1], &[tag::SEQ, 0]);
    deep::<List>(b"\x90\x01\x80\x04next\x02", &[tag::NONE]);
    deep::<Cons>(b"\x0a\x80\x04Cons", b"\x80\x03Nil");
    deep::<Chain>(b"\x0a\x80\x04Link\x90\x01\x80\x04next", b"\x80\x03End");
    deep::<UntaggedTree>(&[tag::SEQ, 1], &[tag::SEQ, 0]);
    deep::<Tagged>(b"\x90\x02\x80\x01t\x80\x04Node\x80\x04next", b"\x90\x01\x80\x01t\x80\x04Leaf");
    deep::<serde_json::Value>(&[tag::SEQ, 1], &[tag::UNIT]);
    deep::<serde_json::Value>(b"\x90\x01\x80\x01k", &[tag::UNIT]);
    deep::<serde_json::Value>(&[tag::VARIANT, tag::STR, 0], &[tag::UNIT]);
    deep::<serde_json::Value>(&[tag::SOME], &[tag::UNIT]);
    // A type that would read an option for ever without taking a byte.
    deep::<Vec<Circle>>(&[tag::SEQ, 1], &[tag::SEQ, 1, tag::U8, 1]);
    deep::<Vec<Circle>>(&[tag::SEQ, 1], &[tag::BYTE_SEQ, 1, 1]);
}

#[test]
fn bytes_that_are_no_value_are_errors() {
    let bad: [&[u8]; 12] = [
        &[],
        &[0x0b],
        &[0x3f],
        &[0x41, 1, 0],
        &[0x46, 1, 0, 0, 0],
        &[0x51, 1, 0],
        &[0x94, 0],
        &[0xff],
        &[tag::CHAR, 0x00, 0xd8, 0, 0],
        &[tag::CHAR, 0, 0, 0x11, 0],
        &[tag::STR, 2, 0xc3, 0x28],
        &[tag::MAP, 1, tag::UNIT],
    ];
    for bytes in bad {
        assert!(decode::<serde_json::Value>(bytes).is_err(), "{bytes:?}");
        assert!(decode::<de::IgnoredAny>(bytes).is_err(), "{bytes:?}");
        assert!(decode::<Any>(bytes).is_err(), "{bytes:?}");
        assert!(decode::<Option<char>>(bytes).is_err(), "{bytes:?}");
    }
}

/// A type with something of everything.
type Everything = (
    (Option<Option<Shape<Vec<u8>>>>, Any, Message, FlatMap, HashMap<Key, Bits<f64>>),
    (String, ByteBuf, u128, char, IpAddr, Vec<Flat<Option<()>>>, Adjacent<Vec<i64>>, TextOrBytes),
);

/// A value of it.
fn everything() -> Everything {
    let map = HashMap::from([(Key::Struct { a: 1, b: "b".into() }, Bits(0.1))]);
    let flat = Flat { id: 7, inner: Field { v: Some(()) }, end: true };
    (
        (
            Some(Some(Shape::Struct { x: noise(20), y: None })),
            Any::Struct { a: 300, b: vec!["x".into(), "é".into()] },
            Message::New(Field { v: -1 }),
            FlatMap { id: 70_000, rest: HashMap::from([("k".into(), json!([1, {"a": null}]))]) },
            map,
        ),
        (
            "💥".into(),
            ByteBuf::from(noise(20)),
            u128::MAX,
            '💥',
            [10, 1, 2, 3].into(),
            vec![flat],
            Adjacent::Struct { v: vec![1, -1] },
            TextOrBytes::Bytes(ByteBuf::from([1, 255])),
        ),
    )
}

/// Reads the bytes as many types; what comes of it does not matter, but it must end well.
fn read_as_everything(bytes: &[u8]) {
    let _ = decode::<Everything>(bytes);
    let _ = decode::<serde_json::Value>(bytes);
    let _ = decode::<de::IgnoredAny>(bytes);
    let _ = decode::<Any>(bytes);
    let _ = decode::<Message>(bytes);
    let _ = decode::<Shape<Option<Shape<u8>>>>(bytes);
    let _ = decode::<Vec<Option<(u8, String)>>>(bytes);
    let _ = decode::<Circle>(bytes);
    let _ = decode::<Tree>(bytes);
}

#[test]
fn every_flipped_bit_ends_well() {
    comes_back(&everything());
    let mut bytes = bytes_of(&everything());
    for bit in 0..bytes.len() * 8 {
        bytes[bit / 8] ^= 1 << (bit % 8);
        read_as_everything(&bytes);
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
}

proptest! {
    // The default of 256 cases takes long without optimization.
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn random_bytes_end_well(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        read_as_everything(&bytes);
    }

    #[test]
    fn random_tags_end_well(
        bytes in prop::collection::vec(prop_oneof![0u8..12, 0x40u8..0x60, 0x80u8..0x94], 0..200),
    ) {
        read_as_everything(&bytes);
    }

    #[test]
    fn random_values_come_back(
        ints in prop::collection::vec(any::<(i64, u32, Option<i16>)>(), 0..20),
        texts in prop::collection::vec(any::<Option<Option<String>>>(), 0..5),
        map in prop::collection::btree_map(any::<(u8, char)>(), any::<[u8; 5]>(), 0..5),
    ) {
        comes_back(&(ints.clone(), texts.clone(), map.clone()));
        comes_back(&Untagged::Value((ints, texts, map)));
    }
}

// ---- Why not a known format ----

/// MessagePack, at its best for our types: named fields, human-readable like serde's buffers.
fn through_message_pack<T: Serialize + DeserializeOwned>(value: &T) -> (T, usize) {
    let mut out = Vec::new();
    let mut serializer =
        rmp_serde::Serializer::new(&mut out).with_struct_map().with_human_readable();
    value.serialize(&mut serializer).unwrap();
    let mut deserializer = rmp_serde::Deserializer::from_read_ref(&out).with_human_readable();
    (T::deserialize(&mut deserializer).unwrap(), out.len())
}

#[test]
fn message_pack_loses_options_and_blows_up_bytes() {
    // If one of these fails, MessagePack got better and this codec may be worth less.
    assert_eq!(through_message_pack(&Some(())).0, None);
    assert_eq!(through_message_pack(&Some(None::<u8>)).0, None);
    assert_eq!(through_message_pack(&Field { v: Some(None::<u8>) }).0, Field { v: None });
    assert_eq!(through_message_pack(&Some(json!(null))).0, None);
    let len = 1 << 20;
    assert!(through_message_pack(&noise(len)).1 > len + len / 3);
}
