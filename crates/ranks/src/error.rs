//! Errors of this crate: each says which rank, what it did, what was expected, and what to do.

/// What can go wrong between ranks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RanksError {
    /// Several copies of a program that knows no MPI.
    #[error(
        "{ranks} or more copies of this program were started, says {variable}, and it is built without MPI: each would do all \
         of the work; build it with --features mpi, or start one copy; where each copy is to do something else, use a job \
         array, or unset {variable} for each"
    )]
    WithoutMpi {
        /// Variable of the environment that says so.
        variable: &'static str,
        /// How many copies at least.
        ranks: usize,
    },
    /// The launcher is that of another MPI. (MPICH under Open MPI's mpirun does not get here: it ends, and speaks of PMIx.)
    #[error(
        "the launcher started {launched} ranks, says {variable}, but MPI knows of 1: each would do all of the work; this program \
         is linked to {library}, and the launcher is that of another MPI; start it with the mpirun of this library, or \
         build it for the launcher's (cargo clean -p mpi-sys, then MPICC=.../mpicc cargo build --features mpi); srun needs the \
         right --mpi=, of those that srun --mpi=list shows"
    )]
    OtherMpi {
        /// Variable of the environment that the launcher set.
        variable: &'static str,
        /// How many ranks it started, at least.
        launched: usize,
        /// What the MPI library calls itself.
        library: String,
    },
    /// MPI takes no calls from threads.
    #[error(
        "MPI offers threads {offered}, and Serialized is needed; the program is linked to {library}; \
         use one that is built with support for threads"
    )]
    Threading {
        /// What it offers.
        offered: String,
        /// What the MPI library calls itself.
        library: String,
    },
    /// MPI can be started once.
    #[error("MPI is started already, or has been; a process starts it once, and hands on what it got")]
    Started,
    /// Ranks that call different operations.
    #[error(
        "this rank calls {ours} where rank {rank} calls {theirs}; all ranks must call the same; this is a bug of ours"
    )]
    Order {
        /// Another rank.
        rank: usize,
        /// What it calls.
        theirs: &'static str,
        /// What this one calls.
        ours: &'static str,
    },
    /// A rank that is no longer there.
    #[error("rank {rank} ended where this rank calls {ours}; what it said before is the reason")]
    Ended {
        /// The rank.
        rank: usize,
        /// What this one calls.
        ours: &'static str,
    },
    /// What is sent is not what is expected.
    #[error("rank {from} sends {sent} bytes to rank {to}, which expects {expected}; this is a bug of ours")]
    Message {
        /// Who sends.
        from: usize,
        /// Who receives.
        to: usize,
        /// How many bytes the one sends.
        sent: u64,
        /// How many bytes the other expects.
        expected: u64,
    },
    /// Sums of different lengths.
    #[error("this rank adds {ours} values, rank {rank} adds {theirs}; this is a bug of ours")]
    Length {
        /// Another rank.
        rank: usize,
        /// How many values it has.
        theirs: u64,
        /// How many this one has.
        ours: u64,
    },
}

impl RanksError {
    /// Whether the way the program was started is at fault, and not the program.
    #[must_use]
    pub fn is_input(&self) -> bool {
        match self {
            Self::WithoutMpi { .. } | Self::OtherMpi { .. } | Self::Threading { .. } => true,
            Self::Started
            | Self::Order { .. }
            | Self::Ended { .. }
            | Self::Message { .. }
            | Self::Length { .. } => false,
        }
    }
}
