//! A card and what is done with it.
#![allow(
    unsafe_code,
    reason = "kernels are launched with pointers; what they point to is checked where they are made"
)]

use super::CardError;
use super::kind::{CardProperties, Precision};
use super::memory::{CardMemory, Pool, View};
use super::program::{KERNELS, TENSOR_KERNELS, compile};
use super::staging::{MOST_BYTES, Staging};
use super::weights::Weights;
use cudarc::driver::sys::{CUdevice_attribute, CUfunction_attribute};
use cudarc::driver::{
    CudaContext, CudaFunction, CudaStream, DevicePtr as _, LaunchConfig, PushKernelArg as _, result,
};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Threads of a block of kernels that map values.
const THREADS: u32 = 256;
/// Blocks of such kernels: enough for any card, and each does the work of several.
const MOST_BLOCKS: i64 = 1 << 14;
/// Shared memory that every kernel may have without asking.
const SHARED_BYTES: usize = 48 << 10;

/// An NVIDIA card with our kernels on it. Clones are the same card.
#[derive(Clone)]
pub struct Card(Arc<Inner>);

struct Inner {
    stream: Arc<CudaStream>,
    kernels: HashMap<&'static str, CudaFunction>,
    pool: Arc<Pool>,
    staging: Staging,
    weights: Mutex<Weights>,
    precision: Precision,
    /// That a block can have if it asks for it.
    most_shared_bytes: usize,
}

/// One argument of a kernel.
#[derive(Clone, Copy)]
pub(super) enum Argument {
    Pointer(u64),
    Long(i64),
    Int(i32),
    Word(u32),
    Float(f32),
    Double(f64),
}

/// A number of channels, taps or voxels along an axis, which is far below 2^31.
pub(super) fn int(value: usize) -> Argument {
    Argument::Int(i32::try_from(value).expect("a network has fewer channels and voxels along an axis"))
}

/// A number of values.
pub(super) fn long(value: usize) -> Argument {
    Argument::Long(i64::try_from(value).expect("memory has fewer values"))
}

/// Blocks, threads of each, and bytes that they share.
#[derive(Clone, Copy)]
pub(super) struct Blocks {
    pub(super) blocks: [u32; 3],
    pub(super) threads: [u32; 2],
    pub(super) shared_bytes: usize,
}

impl Drop for Inner {
    fn drop(&mut self) {
        // What it still reads must not be let go before.
        self.stream.synchronize().ok();
    }
}

impl std::fmt::Debug for Card {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Card({})", self.0.stream.context().ordinal())
    }
}

impl Card {
    /// Opens a card by its number and compiles the kernels for it.
    ///
    /// # Errors
    /// [`CardError::NoDriver`], [`CardError::NoCompiler`] or [`CardError::NoCard`] if there is none; [`CardError::NoTensorCores`] if
    /// it cannot multiply with this precision; [`CardError::Compile`] if the kernels do not suit it; [`CardError::Driver`] if it does
    /// not answer.
    pub fn open(ordinal: usize, precision: Precision) -> Result<Self, CardError> {
        // SAFETY: loads a library, whose initialisers are NVIDIA's.
        if !unsafe { cudarc::driver::sys::is_culib_present() } {
            return Err(CardError::NoDriver);
        }
        let count = CudaContext::device_count().map_err(CardError::driver("counting cards"))?;
        let count = usize::try_from(count).unwrap_or(0);
        if ordinal >= count {
            return Err(CardError::NoCard { ordinal, count });
        }
        let context = CudaContext::new(ordinal).map_err(CardError::driver("opening it"))?;
        // SAFETY: all work is in one stream, whose order is that of the calls; nothing else needs events.
        unsafe { context.disable_event_tracking() };
        let capability = context.compute_capability().map_err(CardError::driver("asking for its kind"))?;
        let has_tensor_cores = capability.0 >= 8;
        if precision != Precision::F32 && !has_tensor_cores {
            return Err(CardError::NoTensorCores {
                precision,
                capability: format!("{}.{}", capability.0, capability.1),
            });
        }
        let program = compile(capability, precision)?;
        let module = context.load_module(program).map_err(CardError::driver("loading kernels"))?;
        let load = |name: &'static str| -> Result<_, CardError> {
            Ok((name, module.load_function(name).map_err(CardError::driver("loading a kernel"))?))
        };
        let of_tensor_cores = TENSOR_KERNELS.into_iter().filter(|_| has_tensor_cores);
        let kernels = KERNELS.into_iter().chain(of_tensor_cores).map(load).collect::<Result<_, _>>()?;
        let stream = context.new_stream().map_err(CardError::driver("making a stream"))?;
        let (pool, staging, weights) = (Arc::default(), Staging::default(), Mutex::default());
        let most = CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN;
        let most = context.attribute(most).map_err(CardError::driver("asking for its shared memory"))?;
        let most_shared_bytes = usize::try_from(most).unwrap_or(0).max(SHARED_BYTES);
        Ok(Self(Arc::new(Inner { stream, kernels, pool, staging, weights, precision, most_shared_bytes })))
    }

    /// What it says of itself.
    ///
    /// # Errors
    /// [`CardError::Driver`] if it does not answer.
    pub fn properties(&self) -> Result<CardProperties, CardError> {
        let context = self.0.stream.context();
        let asking = || CardError::driver("asking for its properties");
        let attribute = |which| context.attribute(which).map_err(asking());
        let mut driver = 0;
        // SAFETY: writes one number to a place that lives.
        unsafe { cudarc::driver::sys::cuDriverGetVersion(&mut driver) }.result().map_err(asking())?;
        let mut compiler = (0, 0);
        // SAFETY: writes two numbers to places that live.
        unsafe { cudarc::nvrtc::sys::nvrtcVersion(&mut compiler.0, &mut compiler.1) };
        Ok(CardProperties {
            name: context.name().map_err(asking())?,
            capability: context.compute_capability().map_err(asking())?,
            memory_bytes: context.mem_get_info().map_err(asking())?,
            multiprocessors: attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?,
            clock_ghz: f64::from(attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_CLOCK_RATE).unwrap_or(0))
                / 1e6,
            driver,
            compiler,
        })
    }

    /// Waits until all work is done.
    ///
    /// # Errors
    /// [`CardError::Driver`] if some of it failed.
    pub fn wait(&self) -> Result<(), CardError> {
        let staged = self.0.staging.busy();
        let waited = self.0.stream.synchronize().map_err(CardError::driver("waiting for work"));
        match &waited {
            Ok(()) => self.0.staging.put_free(staged),
            // Copies may be under way for ever.
            Err(_) => std::mem::forget(staged),
        }
        waited
    }

    /// Forgets its copies of weights: whoever changes parameters on the host says so before the next evaluation.
    pub fn forget_weights(&self) {
        self.weights().forget_copies();
    }

    /// How it multiplies.
    #[must_use]
    pub fn precision(&self) -> Precision {
        self.0.precision
    }

    /// Shared memory that a block can have if it asks for it.
    pub(super) fn most_shared_bytes(&self) -> usize {
        self.0.most_shared_bytes
    }

    pub(super) fn weights(&self) -> MutexGuard<'_, Weights> {
        self.0.weights.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Memory for `len` floats, which hold anything at first.
    pub(super) fn memory(&self, len: usize) -> Result<CardMemory, CardError> {
        self.0.pool.take(&self.0.stream, len, size_of::<f32>())
    }

    /// Memory for `len` values of a volume, which hold anything at first.
    pub(super) fn volume(&self, len: usize) -> Result<CardMemory, CardError> {
        self.0.pool.take(&self.0.stream, len, self.precision().value_bytes())
    }

    /// The values of the host on the card.
    pub(super) fn upload(&self, values: &[f32]) -> Result<CardMemory, CardError> {
        let mut memory = self.memory(values.len())?;
        let (stream, failed) = (&self.0.stream, || CardError::driver("copying to it"));
        let bytes: &[u8] = bytemuck::cast_slice(values);
        if bytes.len() > MOST_BYTES {
            stream.memcpy_htod(bytes, memory.slice_mut()).map_err(failed())?;
            // The values may be gone afterwards.
            self.wait()?;
            return Ok(memory);
        }
        let piece = self.0.staging.piece(stream.context(), bytes)?;
        stream.context().bind_to_thread().map_err(failed())?;
        let to = memory.slice().device_ptr(stream).0;
        // SAFETY: both are as long, and nobody writes the piece before the card was waited for.
        let copied = unsafe { result::memcpy_htod_async(to, piece.first(bytes.len()), stream.cu_stream()) };
        self.0.staging.put(piece);
        copied.map_err(failed())?;
        Ok(memory)
    }

    /// The floats of the card on the host.
    pub(super) fn download(&self, memory: &CardMemory) -> Result<Vec<f32>, CardError> {
        assert_eq!(memory.value_bytes(), size_of::<f32>());
        let mut values = vec![0f32; memory.len()];
        let from = memory.slice().slice(..size_of_val(&*values));
        let copied = self.0.stream.memcpy_dtoh(&from, bytemuck::cast_slice_mut(&mut values));
        copied.map_err(CardError::driver("copying from it"))?;
        self.wait()?;
        Ok(values)
    }

    /// Copies values that may be on another card, whose work on them is done.
    pub(super) fn fetch(&self, from: &CardMemory, to: &CardMemory) -> Result<(), CardError> {
        assert_eq!((from.len(), from.value_bytes()), (to.len(), to.value_bytes()));
        let [there, here] = [from, to].map(|memory| memory.slice().context());
        let bytes = from.value_bytes() * from.len();
        let [source, target] = [from, to].map(|memory| memory.slice().device_ptr(&self.0.stream).0);
        here.bind_to_thread().map_err(CardError::driver("taking turns"))?;
        // SAFETY: both are as long as that, and live until the caller waits for this card.
        let copied = unsafe {
            cudarc::driver::sys::cuMemcpyPeerAsync(
                target,
                here.cu_ctx(),
                source,
                there.cu_ctx(),
                bytes,
                self.0.stream.cu_stream(),
            )
        };
        copied.result().map_err(CardError::driver("copying from another card"))
    }

    /// Where values lie.
    pub(super) fn pointer(&self, memory: &CardMemory) -> Argument {
        Argument::Pointer(memory.slice().device_ptr(&self.0.stream).0)
    }

    /// Where the values of a view lie.
    pub(super) fn pointer_to(&self, view: &View) -> Argument {
        self.pointer_into(view, 0)
    }

    /// Where the values of a view from `first` on lie.
    pub(super) fn pointer_into(&self, view: &View, first: usize) -> Argument {
        assert!(first <= view.len && view.first + view.len <= view.memory.len());
        self.pointer_at(&view.memory, view.first + first)
    }

    /// Where the values from `first` on lie.
    pub(super) fn pointer_at(&self, memory: &CardMemory, first: usize) -> Argument {
        assert!(first <= memory.len());
        let start = memory.slice().device_ptr(&self.0.stream).0;
        Argument::Pointer(start + (first * memory.value_bytes()) as u64)
    }

    /// Where values lie, if there are some.
    pub(super) fn maybe(&self, memory: Option<&CardMemory>) -> Argument {
        memory.map_or(Argument::Pointer(0), |memory| self.pointer(memory))
    }

    /// Runs a kernel that maps so many values, a thread for each or for some.
    pub(super) fn map(
        &self,
        kernel: &'static str,
        count: usize,
        arguments: &[Argument],
    ) -> Result<(), CardError> {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        let blocks = (count + i64::from(THREADS) - 1) / i64::from(THREADS);
        let blocks = u32::try_from(blocks.clamp(1, MOST_BLOCKS)).unwrap_or(1);
        let blocks = Blocks { blocks: [blocks, 1, 1], threads: [THREADS, 1], shared_bytes: 0 };
        self.run(kernel, blocks, arguments)
    }

    /// Runs a kernel.
    pub(super) fn run(
        &self,
        kernel: &'static str,
        blocks: Blocks,
        arguments: &[Argument],
    ) -> Result<(), CardError> {
        let running = || CardError::driver(kernel);
        let function = &self.0.kernels[kernel];
        let Blocks { blocks: [x, y, z], threads: [width, height], shared_bytes } = blocks;
        let shared = i32::try_from(shared_bytes).unwrap_or(i32::MAX);
        if shared_bytes > self.0.most_shared_bytes {
            return Err(CardError::SharedMemory {
                kernel,
                needed: shared_bytes,
                most: self.0.most_shared_bytes,
            });
        }
        if shared_bytes > SHARED_BYTES {
            let most = CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            function.set_attribute(most, shared).map_err(running())?;
        }
        let mut launch = self.0.stream.launch_builder(function);
        for argument in arguments {
            match argument {
                Argument::Pointer(value) => launch.arg(value),
                Argument::Long(value) => launch.arg(value),
                Argument::Int(value) => launch.arg(value),
                Argument::Word(value) => launch.arg(value),
                Argument::Float(value) => launch.arg(value),
                Argument::Double(value) => launch.arg(value),
            };
        }
        let config = LaunchConfig {
            grid_dim: (x, y, z),
            block_dim: (width, height, 1),
            shared_mem_bytes: shared.unsigned_abs(),
        };
        // SAFETY: the arguments are those of the kernel, in number and kind, and point to as many values as it reads and
        // writes: whoever calls takes both from one shape. The tests run every kernel where a pointer beyond ends the program.
        unsafe { launch.launch(config) }.map_err(running())?;
        Ok(())
    }
}
