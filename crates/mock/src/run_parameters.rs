//! What a code must be told to run from a file of initial conditions.

use crate::InitialConditions;
use finescale_snapshot::IcFormat;

/// Mean separations of the dark matter particles over the softening length: from 1/40 to 1/30 are in use.
const SEPARATIONS_PER_SOFTENING: f64 = 35.0;
const MPC_CM: &str = "3.085678e24";
const KPC_CM: &str = "3.085678e21";

impl InitialConditions {
    /// Parameter values for the code that reads `format`, in its own syntax; `name` is that of the file of initial conditions,
    /// without its ending.
    #[must_use]
    pub fn run_parameters(&self, format: IcFormat, name: &str) -> String {
        match format {
            IcFormat::Gadget => self.gadget_parameters(name),
            IcFormat::Swift => self.swift_parameters(name),
        }
    }

    /// (Ωm, ΩΛ, Ωb, h); baryons are 0 where nobody says them.
    fn densities(&self) -> [f64; 4] {
        let universe = &self.cosmology;
        [universe.omega_m, universe.omega_lambda, universe.omega_b, universe.hubble]
            .map(|value| value.unwrap_or(0.0))
    }

    /// Plummer softening in comoving Mpc/h.
    fn softening_mpc_h(&self) -> f64 {
        self.box_size_mpc_h / self.per_side() as f64 / SEPARATIONS_PER_SOFTENING
    }

    fn gadget_parameters(&self, name: &str) -> String {
        let [omega_m, omega_lambda, omega_b, hubble] = self.densities();
        let box_kpc_h = self.box_size_mpc_h * 1000.0;
        let softening = self.softening_mpc_h() * 1000.0;
        let begin = 1.0 / (1.0 + self.redshift);
        let mut text = format!(
            "% Values for {name}.hdf5, to copy into the parameter file of GADGET-4 or AREPO; all that is not here stays as in yours.\n\
             % Adapt: InitCondFile (the path), TimeMax, and the softening (a mean separation over 35; 1/40 to 1/30 are usual).\n\
             % AREPO says Type where GADGET-4 says Class: SofteningComovingType0, SofteningTypeOfPartType1.\n\
             % Positions are f64: the Config.sh of AREPO needs INPUT_IN_DOUBLEPRECISION.\n\
             InitCondFile                  {name}\n\
             ICFormat                      3\n\
             ComovingIntegrationOn         1\n\
             TimeBegin                     {begin:.10}\n\
             TimeMax                       1.0\n\
             Omega0                        {omega_m}\n\
             OmegaLambda                   {omega_lambda}\n\
             OmegaBaryon                   {omega_b}\n\
             HubbleParam                   {hubble}\n\
             Hubble                        100.0\n\
             BoxSize                       {box_kpc_h}\n\
             UnitLength_in_cm              {KPC_CM}\n\
             UnitMass_in_g                 1.989e43\n\
             UnitVelocity_in_cm_per_s      1e5\n\
             SofteningComovingClass0       {softening:.4}\n\
             SofteningMaxPhysClass0        {softening:.4}\n\
             SofteningClassOfPartType0     0\n\
             SofteningClassOfPartType1     0\n"
        );
        if self.has_gas() {
            text += "% Gas has no thermal energy in the file: its first temperature in K is this one. Adapt it to your redshift.\n\
                     InitGasTemp                   100\n";
        }
        text
    }

    fn swift_parameters(&self, name: &str) -> String {
        let [omega_m, omega_lambda, omega_b, hubble] = self.densities();
        let cold = omega_m - omega_b;
        let softening = self.softening_mpc_h() / hubble;
        let begin = 1.0 / (1.0 + self.redshift);
        let mut text = format!(
            "# Values for {name}.hdf5, to put into a parameter file of SWIFT; all that is not here stays as in yours.\n\
             # Adapt: file_name (the path), a_end, and the softening (a mean separation over 35; 1/40 to 1/30 are usual).\n\
             InternalUnitSystem:\n\
             \x20 UnitMass_in_cgs: 1.989e43\n\
             \x20 UnitLength_in_cgs: {MPC_CM}\n\
             \x20 UnitVelocity_in_cgs: 1e5\n\
             \x20 UnitCurrent_in_cgs: 1\n\
             \x20 UnitTemp_in_cgs: 1\n\
             Cosmology:\n\
             \x20 h: {hubble}\n\
             \x20 a_begin: {begin:.10}\n\
             \x20 a_end: 1.0\n\
             \x20 Omega_cdm: {cold:.10}\n\
             \x20 Omega_lambda: {omega_lambda}\n\
             \x20 Omega_b: {omega_b}\n\
             Gravity:\n\
             \x20 comoving_DM_softening: {softening:.8}\n\
             \x20 max_physical_DM_softening: {softening:.8}\n"
        );
        if self.has_gas() {
            text += &format!(
                "\x20 comoving_baryon_softening: {softening:.8}\n\
                 \x20 max_physical_baryon_softening: {softening:.8}\n\
                 # Gas has no thermal energy in the file: its first temperature in K is this one. Adapt it to your redshift.\n\
                 SPH:\n\
                 \x20 initial_temperature: 100\n"
            );
        }
        text + &format!(
            "InitialConditions:\n\
             \x20 file_name: {name}.hdf5\n\
             \x20 periodic: 1\n\
             \x20 cleanup_h_factors: 0\n\
             \x20 cleanup_velocity_factors: 0\n"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Baryons, MockConfig};

    #[test]
    fn a_run_is_told_box_time_and_universe_in_the_units_of_its_file() {
        let config = MockConfig { box_size_mpc_h: 35.0, particles_low: 8, ..MockConfig::default() };
        let ics = InitialConditions::from_seed(&config, 8, Baryons::Gas).unwrap();
        let gadget = ics.run_parameters(IcFormat::Gadget, "high_res");
        let value = |name: &str| {
            let line = gadget.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap();
            line.split_whitespace().nth(1).unwrap().to_owned()
        };
        let expected = [
            ("InitCondFile", "high_res"),
            ("TimeBegin", "0.1000000000"),
            ("Omega0", "0.3089"),
            ("OmegaLambda", "0.6911"),
            ("OmegaBaryon", "0.0486"),
            ("HubbleParam", "0.6774"),
            ("BoxSize", "35000"),
            ("SofteningComovingClass0", "125.0000"),
            ("InitGasTemp", "100"),
        ];
        for (name, expected) in expected {
            assert_eq!(value(name), expected, "{name}");
        }
        let swift = ics.run_parameters(IcFormat::Swift, "high_res");
        let lines = ["  a_begin: 0.1000000000", "  Omega_cdm: 0.2603000000", "  file_name: high_res.hdf5"];
        for line in lines.into_iter().chain(["  comoving_DM_softening: 0.18452908"]) {
            assert!(swift.lines().any(|found| found == line), "no {line:?} in\n{swift}");
        }
        let low = InitialConditions::from_seed(&config, 8, Baryons::InDarkMatter).unwrap();
        assert!(!low.run_parameters(IcFormat::Gadget, "low_res").contains("InitGasTemp"));
        assert!(!low.run_parameters(IcFormat::Swift, "low_res").contains("baryon_softening"));
    }
}
