//! Whether a launcher started this process as one of several, by what it says in the environment.

/// What a launcher says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Launch {
    /// The variable that says so.
    pub(crate) variable: &'static str,
    /// How many ranks there are, at least.
    pub(crate) ranks: usize,
}

/// Open MPI's launchers, and those of MPICH and what is made of it (Intel MPI, Cray), or Slurm's with PMI 1 and 2.
const COUNTS: [&str; 2] = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE"];
/// Tasks of a step of Slurm. Not SLURM_NTASKS, which a batch script has, too, that starts one process of many threads.
const SLURM_COUNT: &str = "SLURM_STEP_NUM_TASKS";
const SLURM_RANK: &str = "SLURM_PROCID";
/// Launchers that know PMIx only. They do not say how many ranks there are.
const PMIX_RANK: &str = "PMIX_RANK";

/// What the environment says of a launcher, if one started this process. `read`: the value of a variable.
pub(crate) fn launch(read: impl Fn(&str) -> Option<String>) -> Option<Launch> {
    let number = |variable: &str| read(variable)?.trim().parse::<usize>().ok();
    let counted = |variable| Some(Launch { variable, ranks: number(variable)? });
    // One task is what any job under Slurm is.
    let slurm = || number(SLURM_RANK).and_then(|_| counted(SLURM_COUNT)).filter(|launch| launch.ranks > 1);
    let pmix = || Some(Launch { variable: PMIX_RANK, ranks: number(PMIX_RANK)? + 1 });
    COUNTS.into_iter().find_map(counted).or_else(slurm).or_else(pmix)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// (environment, variable and number that are found)
    type Case = (&'static [(&'static str, &'static str)], Option<(&'static str, usize)>);

    #[test]
    fn launchers_are_known_by_what_they_set() {
        let cases: [Case; 11] = [
            (&[], None),
            (&[("OMPI_COMM_WORLD_SIZE", "4"), ("PMIX_RANK", "2")], Some(("OMPI_COMM_WORLD_SIZE", 4))),
            (&[("OMPI_COMM_WORLD_SIZE", "1")], Some(("OMPI_COMM_WORLD_SIZE", 1))),
            (&[("PMI_SIZE", "3"), ("PMI_RANK", "0")], Some(("PMI_SIZE", 3))),
            // mpirun in a job of Slurm, whose own launcher starts its daemons.
            (
                &[("PMI_SIZE", "8"), ("SLURM_PROCID", "0"), ("SLURM_STEP_NUM_TASKS", "2")],
                Some(("PMI_SIZE", 8)),
            ),
            (&[("SLURM_PROCID", "0"), ("SLURM_STEP_NUM_TASKS", "2")], Some(("SLURM_STEP_NUM_TASKS", 2))),
            (&[("SLURM_PROCID", "0"), ("SLURM_STEP_NUM_TASKS", "1")], None),
            // A batch script: eight tasks are allowed, one process runs.
            (&[("SLURM_PROCID", "0"), ("SLURM_NTASKS", "8")], None),
            (&[("SLURM_NTASKS", "8"), ("SLURM_STEP_NUM_TASKS", "8")], None),
            (&[("PMIX_RANK", "3")], Some(("PMIX_RANK", 4))),
            (&[("PMI_SIZE", "many")], None),
        ];
        for (environment, expected) in cases {
            let read = |name: &str| {
                environment.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).into())
            };
            let expected = expected.map(|(variable, ranks)| Launch { variable, ranks });
            assert_eq!(launch(read), expected, "{environment:?}");
        }
    }
}
