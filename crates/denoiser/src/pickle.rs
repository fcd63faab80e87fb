//! The index of a checkpoint of PyTorch: the tensors of a `state_dict` and where their values lie.
//!
//! A pickle is a program. Here it is data: the few instructions that a `state_dict` needs build a tree of values, and
//! nothing is called. Values lie in one list and refer to each other by number, so that neither depth, nor values that
//! are used many times, nor circles cost anything.

use candle_core::DType;
use std::collections::{BTreeMap, HashMap};

/// Longest index that is read; that of the paper's network has 40 kB.
pub(crate) const LONGEST_INDEX: u64 = 4 << 20;
/// Most axes of a tensor.
const MOST_AXES: usize = 8;

/// Where a tensor's values lie.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct StoredTensor {
    pub(crate) dtype: DType,
    pub(crate) shape: Vec<usize>,
    strides: Vec<usize>,
    /// Its first value in the storage, and values that the storage holds.
    pub(crate) offset: usize,
    pub(crate) storage_values: usize,
    /// Name of the storage, a member of the archive.
    pub(crate) storage: String,
}

impl StoredTensor {
    /// Number of values, if the storage holds them, one after another.
    pub(crate) fn values(&self) -> Result<usize, String> {
        let mut count = 1usize;
        for (&size, &stride) in self.shape.iter().zip(&self.strides).rev() {
            if size != 1 && stride != count {
                return Err("its values do not lie one after another; save it with .contiguous()".to_owned());
            }
            count = count.checked_mul(size).ok_or("its shape has more values than can be")?;
        }
        match self.offset.checked_add(count) {
            Some(end) if end <= self.storage_values => Ok(count),
            _ => Err(format!("its storage holds {} values, its shape needs more", self.storage_values)),
        }
    }
}

/// The tensors of the dictionary that the pickle makes; entries that are none are left out.
pub(crate) fn tensors(pickle: &[u8]) -> Result<BTreeMap<String, StoredTensor>, String> {
    let machine = Machine::run(pickle)?;
    let root = *machine.stack.last().ok_or("it makes nothing")?;
    let Value::Dictionary(entries) = machine.value(root) else {
        return Err("it holds no dictionary of tensors".to_owned());
    };
    let mut tensors = BTreeMap::new();
    for &(key, value) in entries {
        let Value::Text(name) = machine.value(key) else { continue };
        if let Some(tensor) =
            machine.tensor(value).map_err(|problem| format!("{}: {problem}", short(name)))?
        {
            tensors.insert(name.clone(), tensor);
        }
    }
    Ok(tensors)
}

/// The beginning of a foreign name, without what a terminal would act on.
pub(crate) fn short(name: &str) -> String {
    const LONGEST: usize = 100;
    name.chars().take(LONGEST).flat_map(char::escape_default).collect()
}

/// Number of a value.
type Id = usize;

#[derive(Debug)]
enum Value {
    /// What is of no use here: numbers with a point, truth values, nothing.
    Other,
    Integer(i64),
    Text(String),
    Class(String),
    Sequence(Vec<Id>),
    Dictionary(Vec<(Id, Id)>),
    Call {
        callable: Id,
        arguments: Id,
    },
    Persistent(Id),
}

/// What runs a pickle.
struct Machine<'a> {
    rest: &'a [u8],
    values: Vec<Value>,
    stack: Vec<Id>,
    /// Heights of the stack that are marked.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

impl<'a> Machine<'a> {
    fn run(pickle: &'a [u8]) -> Result<Self, String> {
        let mut machine = Self {
            rest: pickle,
            values: Vec::new(),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
        };
        while machine.step().map_err(|problem| {
            format!("at byte {} of its index: {problem}", pickle.len() - machine.rest.len())
        })? {}
        Ok(machine)
    }

    /// One instruction; false after the last.
    fn step(&mut self) -> Result<bool, String> {
        let [instruction] = self.take()?;
        match instruction {
            0x80 => drop(self.take::<1>()?), // version
            b'.' => return Ok(false),
            b'(' => self.marks.push(self.stack.len()),
            b'N' | 0x88 | 0x89 => self.push(Value::Other),
            b'G' => {
                self.take::<8>()?;
                self.push(Value::Other);
            }
            b'K' | b'M' | b'J' | 0x8a => self.integer(instruction)?,
            b'X' => {
                let length = u32::from_le_bytes(self.take()?) as usize;
                let text = self.rest.get(..length).ok_or("it ends within a text")?;
                self.rest = &self.rest[length..];
                let text = std::str::from_utf8(text).map_err(|_| "a text is not UTF-8")?.to_owned();
                self.push(Value::Text(text));
            }
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.push(Value::Class(format!("{module}.{name}")));
            }
            b')' | b']' => self.push(Value::Sequence(Vec::new())),
            b'}' => self.push(Value::Dictionary(Vec::new())),
            0x85..=0x87 => {
                let first = self.stack.len().checked_sub(usize::from(instruction - 0x84));
                self.sequence_from(first.ok_or(EMPTY)?);
            }
            b't' | b'l' => {
                let mark = self.mark()?;
                self.sequence_from(mark);
            }
            b'a' => {
                let item = self.pop()?;
                self.extend(&[item])?;
            }
            b'e' | b'u' => {
                let items = self.above_mark()?;
                self.extend(&items)?;
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.extend(&[key, value])?;
            }
            b'R' | 0x81 => {
                let (arguments, callable) = (self.pop()?, self.pop()?);
                let dictionary = matches!(self.value(callable), Value::Class(name)
                    if name == "collections.OrderedDict" || name == "collections.defaultdict");
                self.push(if dictionary {
                    Value::Dictionary(Vec::new())
                } else {
                    Value::Call { callable, arguments }
                });
            }
            // Attributes of an object, such as the versions of layers: of no use here.
            b'b' => drop(self.pop()?),
            b'Q' => {
                let id = self.pop()?;
                self.push(Value::Persistent(id));
            }
            b'q' | b'r' => {
                let (number, &last) = (self.number(instruction == b'q')?, self.stack.last().ok_or(EMPTY)?);
                self.memo.insert(number, last);
            }
            b'h' | b'j' => {
                let number = self.number(instruction == b'h')?;
                let id = *self.memo.get(&number).ok_or("it recalls what it did not keep")?;
                self.stack.push(id);
            }
            other => return Err(format!("instruction {other:#04x} has no place in a dictionary of tensors")),
        }
        Ok(true)
    }

    fn integer(&mut self, instruction: u8) -> Result<(), String> {
        let value = match instruction {
            b'K' => i64::from(self.take::<1>()?[0]),
            b'M' => i64::from(u16::from_le_bytes(self.take()?)),
            b'J' => i64::from(i32::from_le_bytes(self.take()?)),
            _ => {
                let length = usize::from(self.take::<1>()?[0]);
                let bytes = self.rest.get(..length).filter(|bytes| bytes.len() <= 8);
                let bytes = bytes.ok_or("an integer has more than 64 bits")?;
                self.rest = &self.rest[length..];
                let filled = if bytes.last().is_some_and(|byte| byte & 0x80 != 0) { 0xff } else { 0 };
                let mut all = [filled; 8];
                all[..length].copy_from_slice(bytes);
                i64::from_le_bytes(all)
            }
        };
        self.push(Value::Integer(value));
        Ok(())
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let (bytes, rest) = self.rest.split_first_chunk::<N>().ok_or("it ends too early")?;
        self.rest = rest;
        Ok(*bytes)
    }

    fn line(&mut self) -> Result<String, String> {
        let end = self.rest.iter().position(|&byte| byte == b'\n').ok_or("it ends within a line")?;
        let line = String::from_utf8_lossy(&self.rest[..end]).trim_end_matches('\r').to_owned();
        self.rest = &self.rest[end + 1..];
        Ok(line)
    }

    /// A number of the memo.
    fn number(&mut self, short: bool) -> Result<u32, String> {
        Ok(if short { u32::from(self.take::<1>()?[0]) } else { u32::from_le_bytes(self.take()?) })
    }

    fn push(&mut self, value: Value) {
        self.stack.push(self.values.len());
        self.values.push(value);
    }

    fn pop(&mut self) -> Result<Id, String> {
        self.stack.pop().ok_or_else(|| EMPTY.to_owned())
    }

    fn mark(&mut self) -> Result<usize, String> {
        self.marks.pop().filter(|&mark| mark <= self.stack.len()).ok_or_else(|| "it lacks a mark".to_owned())
    }

    fn above_mark(&mut self) -> Result<Vec<Id>, String> {
        let mark = self.mark()?;
        Ok(self.stack.split_off(mark))
    }

    fn sequence_from(&mut self, first: usize) {
        let items = self.stack.split_off(first);
        self.push(Value::Sequence(items));
    }

    /// Adds items to the list, or pairs of them to the dictionary, on top of the stack.
    fn extend(&mut self, items: &[Id]) -> Result<(), String> {
        let &last = self.stack.last().ok_or(EMPTY)?;
        match &mut self.values[last] {
            Value::Sequence(list) => list.extend(items),
            Value::Dictionary(entries) if items.len().is_multiple_of(2) => {
                entries.extend(items.chunks_exact(2).map(|pair| (pair[0], pair[1])));
            }
            _ => return Err("it adds to what is no list and no dictionary".to_owned()),
        }
        Ok(())
    }

    fn value(&self, id: Id) -> &Value {
        &self.values[id]
    }

    /// The tensor that a value stands for, or none if it stands for something else.
    fn tensor(&self, id: Id) -> Result<Option<StoredTensor>, String> {
        let Some((name, arguments)) = self.call(id) else { return Ok(None) };
        match name {
            "torch._utils._rebuild_tensor_v2" => self.rebuilt(arguments).map(Some),
            "torch._utils._rebuild_parameter" => match arguments.first().and_then(|&id| self.call(id)) {
                Some(("torch._utils._rebuild_tensor_v2", arguments)) => self.rebuilt(arguments).map(Some),
                _ => Err("a parameter without a tensor".to_owned()),
            },
            _ => Ok(None),
        }
    }

    /// Name and arguments of a call.
    fn call(&self, id: Id) -> Option<(&str, &[Id])> {
        let &Value::Call { callable, arguments } = self.value(id) else { return None };
        match (self.value(callable), self.value(arguments)) {
            (Value::Class(name), Value::Sequence(arguments)) => Some((name, arguments)),
            _ => None,
        }
    }

    /// The arguments of `_rebuild_tensor_v2`: storage, offset, shape, strides, and what is of no use here.
    fn rebuilt(&self, arguments: &[Id]) -> Result<StoredTensor, String> {
        const MALFORMED: &str = "its storage, shape or strides are malformed";
        let &[storage, offset, shape, strides, ..] = arguments else { return Err(MALFORMED.to_owned()) };
        let storage = match self.value(storage) {
            &Value::Persistent(id) => self.value(id),
            _ => return Err(MALFORMED.to_owned()),
        };
        let Value::Sequence(storage) = storage else { return Err(MALFORMED.to_owned()) };
        let &[_, class, key, _, count, ..] = storage.as_slice() else { return Err(MALFORMED.to_owned()) };
        let (Value::Class(class), Value::Text(key)) = (self.value(class), self.value(key)) else {
            return Err(MALFORMED.to_owned());
        };
        let count_of = |id: Id| match self.value(id) {
            &Value::Integer(value) => usize::try_from(value).map_err(|_| MALFORMED.to_owned()),
            _ => Err(MALFORMED.to_owned()),
        };
        let counts_of = |id: Id| match self.value(id) {
            Value::Sequence(ids) if ids.len() <= MOST_AXES => ids.iter().map(|&id| count_of(id)).collect(),
            _ => Err(MALFORMED.to_owned()),
        };
        let (shape, strides): (Vec<usize>, Vec<usize>) = (counts_of(shape)?, counts_of(strides)?);
        if shape.len() != strides.len() {
            return Err(MALFORMED.to_owned());
        }
        let (offset, storage_values) = (count_of(offset)?, count_of(count)?);
        Ok(StoredTensor {
            dtype: dtype(class)?,
            shape,
            strides,
            offset,
            storage_values,
            storage: key.clone(),
        })
    }
}

const EMPTY: &str = "it takes from an empty stack";

fn dtype(class: &str) -> Result<DType, String> {
    match class {
        "torch.FloatStorage" => Ok(DType::F32),
        "torch.DoubleStorage" => Ok(DType::F64),
        "torch.HalfStorage" => Ok(DType::F16),
        "torch.BFloat16Storage" => Ok(DType::BF16),
        "torch.LongStorage" => Ok(DType::I64),
        "torch.ByteStorage" => Ok(DType::U8),
        other => Err(format!("values of type {} are not read", short(other))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Vec<u8> {
        let length = u32::try_from(text.len()).unwrap().to_le_bytes();
        [b"X".as_slice(), &length, text.as_bytes()].concat()
    }

    /// A pickle of `{"w": _rebuild_tensor_v2(storage "0" of six f32, 0, shape, strides, False, OrderedDict())}`.
    fn dictionary(shape: &[u8], strides: &[u8]) -> Vec<u8> {
        let storage = [
            b"(".as_slice(),
            &text("storage"),
            b"ctorch\nFloatStorage\n",
            &text("0"),
            &text("cpu"),
            b"K\x06tQ",
        ];
        let tensor =
            [b"ctorch._utils\n_rebuild_tensor_v2\n(".as_slice(), &storage.concat(), b"K\x00"].concat();
        let hooks = b"\x89ccollections\nOrderedDict\n)RtR".as_slice();
        [b"\x80\x02}q\x00(".as_slice(), &text("w"), &tensor, shape, strides, hooks, b"u."].concat()
    }

    const TWO_BY_THREE: &[u8] = b"K\x02K\x03\x86q\x05";
    const ROWS: &[u8] = b"K\x03K\x01\x86";

    #[test]
    fn a_state_dict_says_where_its_tensors_lie() {
        let tensors = tensors(&dictionary(TWO_BY_THREE, ROWS)).unwrap();
        let tensor = &tensors["w"];
        assert_eq!((tensor.dtype, tensor.shape.as_slice()), (DType::F32, [2, 3].as_slice()));
        assert_eq!((tensor.storage.as_str(), tensor.storage_values, tensor.offset), ("0", 6, 0));
        assert_eq!(tensor.values(), Ok(6));
    }

    #[test]
    fn values_must_lie_in_their_storage_one_after_another() {
        let values =
            |shape: &[u8], strides: &[u8]| tensors(&dictionary(shape, strides)).unwrap()["w"].values();
        assert!(values(TWO_BY_THREE, b"K\x01K\x02\x86").unwrap_err().contains("contiguous"));
        assert!(values(b"K\x07\x85", b"K\x01\x85").unwrap_err().contains("holds 6 values"));
        // 2^62 times 2^62.
        let huge = b"\x8a\x08\x00\x00\x00\x00\x00\x00\x00\x40";
        let shape = [huge.as_slice(), huge, b"\x86"].concat();
        let strides = [huge.as_slice(), b"K\x01\x86"].concat();
        assert!(values(&shape, &strides).unwrap_err().contains("more values than can be"));
        // A last axis of one may have any stride.
        assert_eq!(values(b"K\x06K\x01\x86", b"K\x01K\x09\x86"), Ok(6));
    }

    #[test]
    fn depth_and_repetition_cost_nothing() {
        // Tuples of tuples, two million deep: dropped without recursion, too.
        let deep = [b"N".as_slice(), &[0x85; 2_000_000], b"."].concat();
        assert!(tensors(&deep).unwrap_err().contains("no dictionary"));
        // Each of sixty pairs holds the one before twice: 2^60 leaves, if they were copied.
        let mut bomb = b"]q\x00".to_vec();
        for number in 1..=60u8 {
            bomb.extend_from_slice(&[b'h', number - 1, b'h', number - 1, 0x86, b'q', number]);
        }
        bomb.push(b'.');
        assert!(tensors(&bomb).unwrap_err().contains("no dictionary"));
        // A dictionary that holds itself.
        let circle = [b"}q\x00".as_slice(), &text("w"), b"h\x00s."].concat();
        assert_eq!(tensors(&circle), Ok(BTreeMap::new()));
    }

    #[test]
    fn what_makes_no_sense_is_an_error_at_its_byte() {
        let whole = dictionary(TWO_BY_THREE, ROWS);
        for length in 0..whole.len() {
            assert!(tensors(&whole[..length]).is_err(), "{length} bytes");
        }
        for (pickle, problem) in [
            (b"t.".as_slice(), "it lacks a mark"),
            (b"R.", "empty stack"),
            (b"(N0.", "instruction 0x30"),
            (b"h\x00.", "recalls"),
            (b"\x8a\xff.", "more than 64 bits"),
            (b"Na.", "empty stack"),
            (b"NNa.", "no list and no dictionary"),
            (b"}(Nu.", "no list and no dictionary"),
            (b"X\xff\xff\xff\xffabc", "within a text"),
        ] {
            let error = tensors(pickle).unwrap_err();
            assert!(error.contains(problem) && error.contains("at byte"), "{pickle:?}: {error}");
        }
        // A tensor without arguments.
        let none = [b"}".as_slice(), &text("w"), b"ctorch._utils\n_rebuild_tensor_v2\n)Rs."].concat();
        assert!(tensors(&none).unwrap_err().contains("malformed"));
    }
}
