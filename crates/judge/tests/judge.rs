//! Comparisons of small fields whose statistics are known.

mod support;

use finescale_field::{Field3, Scheme};
use finescale_judge::{
    Beside, Companion, Comparison, Fields, JudgeError, Labelled, Measurements, Outcome, PublishedSpectrum,
    Upscaled, limits, steps,
};
use finescale_seed::{KeyedStream, Purpose};
use finescale_spectra::{Modes, TileFaces, percentile};
use ndarray::Array3;
use serde_json::{Value, json};
use support::{fields, waves};

/// f32 transforms of a few thousand values.
const FFT_REL: f64 = 1e-5;

fn compare(fields: &Fields<'_>) -> Comparison {
    let measured = Measurements::new("box", fields).expect("sound fields");
    Comparison::new(measured, Beside::default()).expect("one box")
}

/// exp of waves and white noise that all fields share, and of white noise of their own.
fn draw(cells: usize, seed: u64, noise: f64) -> Field3 {
    let [own, shared] = [seed, 99].map(|seed| KeyedStream::new(seed, Purpose::Points));
    let base = waves(cells, 0.8, 0.0);
    let mut at = 0;
    let values = base.values().mapv(|v| {
        at += 1;
        let noise = noise * f64::from(own.normal(0, at)) + 0.5 * f64::from(shared.normal(0, at));
        (f64::from(v).ln() + noise).exp() as f32
    });
    let field = Field3::new(*base.grid(), values).expect("the grid's own shape");
    let mean = field.mean();
    field.map(|v| (f64::from(v) / mean) as f32)
}

#[test]
fn statistics_are_those_of_the_fields() {
    let truth = waves(16, 0.8, 0.0);
    let mean = truth.mean();
    let (half, other) = (waves(16, 0.4, 0.0), truth.map(|v| 2.0 * v));
    let comparison = compare(&fields(&truth, Some(&half), &[&truth, &other]));
    let measured = &comparison.measured;
    let verdict = &measured.verdict;
    // Half the contrast is a quarter of the power. One sample has all of it, the other, of twice the mass, four times.
    let of_condition = verdict.condition_mean_abs_ln_ratio.unwrap();
    // One band holds rounding only.
    assert!((of_condition - 4f64.ln()).abs() < 1e-3, "{of_condition}");
    assert!((verdict.mean_abs_ln_ratio - 2.5f64.ln()).abs() < 1e-3);
    assert!((verdict.cross_correlation - 1.0).abs() < FFT_REL);
    // One sample has the truth's mass, the other twice of it: nothing is renormalised.
    assert!((verdict.mass_ratio - 1.5).abs() < FFT_REL && (mean - 1.0).abs() < FFT_REL);
    assert!((verdict.percentile_99_9_ratio - 1.5).abs() < FFT_REL);

    assert!(
        measured.bands.condition_ratio[1..]
            .iter()
            .filter(|r| !r.is_nan())
            .all(|r| (r - 0.25).abs() < FFT_REL)
    );

    let json = json!(comparison);
    let length = json["k_h_mpc"].as_array().unwrap().len();
    for path in
        ["/modes", "/truth/power", "/condition/ratio", "/samples/1/transfer", "/samples/0/cross_correlation"]
    {
        assert_eq!(json.pointer(path).and_then(Value::as_array).map(Vec::len), Some(length), "{path}");
    }
    assert!((json["condition"]["transfer"][0].as_f64().unwrap() - 0.5).abs() < FFT_REL);
    assert_eq!(json["bands"]["k_h_mpc"].as_array().unwrap().len(), 8);
    assert!((json["bands"]["sample_agreement"][1].as_f64().unwrap() - 1.0).abs() < FFT_REL);
    assert!(json["truth"].get("ratio").is_none());
    // One histogram, and a percentile of the same sort.
    let voxels = &json["truth"]["densities"][0]["of_blocks"];
    let length = |key: &str| voxels[key].as_array().map(Vec::len);
    assert_eq!((length("log10_density"), length("per_dex")), (Some(70), Some(70)));
    assert_eq!(voxels["percentiles"][6], json["truth"]["percentile_99_9"]);
    let dense = percentile(&truth, limits::DENSE_PERCENT).unwrap();
    assert_eq!(measured.truth.percentile_99_9.to_bits(), dense.to_bits());

    // The sample that is the truth has its bispectrum, densities and peaks; the doubled one has other
    // densities.
    let of = |path: &str| json.pointer(path).unwrap_or_else(|| panic!("{path} is missing"));
    let ratios = of("/samples/0/bispectrum_ratio").as_array().unwrap();
    assert!(
        !ratios.is_empty() && ratios.iter().all(|r| r.as_f64().is_none_or(|r| (r - 1.0).abs() < FFT_REL))
    );
    assert_eq!(of("/samples/0/densities/0/of_blocks/wasserstein").as_f64(), Some(0.0));
    let distance = of("/samples/1/densities/2/of_blocks/wasserstein").as_f64().unwrap();
    assert!((distance - 2f64.ln()).abs() < 1e-4, "{distance}");
    assert_eq!(of("/samples/0/peaks/counts"), of("/truth/peaks/counts"));
    // Doubling changes a logarithm by a constant: all bands but those of rounding.
    let power = of("/truth/log_power").as_array().unwrap();
    let most = power.iter().filter_map(Value::as_f64).fold(0.0, f64::max);
    let judged: Vec<usize> = (0..power.len()).filter(|&b| power[b].as_f64() > Some(1e-9 * most)).collect();
    assert!(power.len() == 8 && judged.len() >= 7, "{power:?}");
    for sample in 0..2 {
        let ratios = of(&format!("/samples/{sample}/log_power_ratio")).as_array().unwrap();
        for &band in &judged {
            assert!((ratios[band].as_f64().unwrap() - 1.0).abs() < 1e-4, "{ratios:?}");
        }
    }
    // The truth's values by the rank of the halved contrast are the truth.
    let matched = of("/baselines/matched_pdf/band_ratio").as_array().unwrap();
    assert!(matched.iter().all(|r| r.as_f64().is_none_or(|r| (r - 1.0).abs() < 1e-3)), "{matched:?}");
    assert_eq!((of("/format"), of("/version")), (&json!("finescale-report"), &json!(4)));
}

#[test]
fn every_statistic_is_told_before_it_is_measured() {
    let truth = waves(16, 0.8, 0.0);
    let condition = waves(16, 0.4, 0.0);
    for condition in [None, Some(&condition)] {
        let fields = fields(&truth, condition, &[&truth, &truth]);
        let told = std::cell::RefCell::new(Vec::new());
        let watch = |field: &str, statistic| told.borrow_mut().push((field.to_owned(), statistic));
        Measurements::watched("box", &fields, &watch).unwrap();
        let told = told.into_inner();
        assert_eq!(told.len() as u64, steps(&fields));
        let voids: Vec<_> =
            told.iter().filter(|(_, name)| *name == "voids").map(|(field, _)| field.as_str()).collect();
        assert_eq!(voids[0], "truth");
        assert!(
            voids.contains(&"sample 2") && voids.contains(&"condition") == condition.is_some(),
            "{voids:?}"
        );
    }
}

#[test]
fn perfect_samples_meet_the_goals_and_biased_ones_do_not() {
    const NOISE: f64 = 0.005; // one percent of what is shared: the worst band scatters by a percent
    let truth = draw(16, 0, NOISE);
    let samples: Vec<Field3> = (1..5).map(|seed| draw(16, seed, NOISE)).collect();
    let outcome = |comparison: &Comparison, key: &str| {
        comparison.goals.iter().find(|goal| goal.key == key).expect("a goal").clone()
    };
    let all: Vec<&Field3> = samples.iter().collect();
    let good = compare(&fields(&truth, None, &all));
    for key in ["power_large_scales", "pair_ratio", "percentile_99_9", "mass"] {
        let found = outcome(&good, key);
        assert_eq!(found.outcome, Outcome::Pass, "{found:?}");
    }
    assert_eq!(outcome(&good, "seams").outcome, Outcome::NotMeasured);
    assert_eq!(json!(good)["calibration"]["scores"][0]["ranks"]["counts"].as_array().unwrap().len(), 5);

    let damped: Vec<Field3> = samples
        .iter()
        .map(|sample| sample.map(|v| (1.2 * (0.9 * (f64::from(v) - 1.0) + 1.0)) as f32))
        .collect();
    let bad = compare(&fields(&truth, None, &damped.iter().collect::<Vec<_>>()));
    for key in ["power_large_scales", "pair_ratio", "percentile_99_9", "mass"] {
        let found = outcome(&bad, key);
        assert!(found.outcome == Outcome::Miss && found.excess().unwrap() > 0.0, "{found:?}");
    }
}

#[test]
fn fields_that_were_drawn_together_go_together() {
    const NOISE: f64 = 0.005;
    let truth = draw(16, 0, NOISE);
    let samples: Vec<Field3> = (1..5).map(|seed| draw(16, seed, NOISE)).collect();
    // Of each its square root, with the same noise.
    let rooted = |field: &Field3| field.map(|v| f64::from(v).sqrt() as f32);
    let (of_truth, others): (_, Vec<Field3>) = (rooted(&truth), samples.iter().map(rooted).collect());
    let judged = |companions: Option<Vec<&Field3>>| {
        let mut all = fields(&truth, None, &samples.iter().collect::<Vec<_>>());
        let companion = |samples| Companion { label: "dm".to_owned(), truth: &of_truth, samples };
        all.companion = companions.map(companion);
        Measurements::new("box", &all).map(|measured| Comparison::new(measured, Beside::default()).unwrap())
    };
    let outcomes = |comparison: &Comparison| {
        let goals = comparison.goals.iter().filter(|goal| goal.key.starts_with("companion_"));
        goals.map(|goal| goal.outcome).collect::<Vec<_>>()
    };
    let good = judged(Some(others.iter().collect())).unwrap();
    assert_eq!(outcomes(&good), [Outcome::Pass; 2], "{:?}", good.goals);
    let found = good.measured.companion.done().unwrap();
    assert!((found.truth_correlation[0] / found.mean_correlation[0] - 1.0).abs() < 1e-3, "{found:?}");
    // Those of a universe without the waves that all share.
    let foreign: Vec<Field3> = (5..9u8).map(|i| waves(16, 0.8, f64::from(i))).collect();
    let bad = judged(Some(foreign.iter().collect())).unwrap();
    assert_eq!(outcomes(&bad)[1], Outcome::Miss, "{:?}", bad.goals);
    // Who gives none is not asked for them, and who gives some needs all.
    assert!(outcomes(&judged(None).unwrap()).is_empty());
    let few = judged(Some(vec![&others[0]])).unwrap_err();
    assert!(matches!(few, JudgeError::Companions { expected: 4, found: 1, .. }), "{few}");
}

#[test]
fn independent_tiles_show_and_the_truth_does_not() {
    const CELLS: usize = 32;
    let truth = draw(CELLS, 0, 0.1);
    let others: Vec<Field3> = (0..8).map(|tile| waves(CELLS, 0.8, f64::from(tile))).collect();
    let tiled = Array3::from_shape_fn([CELLS; 3], |(i, j, k)| {
        let tile = [i, j, k].map(|v| v / 16);
        let from = &others[tile[0] * 4 + tile[1] * 2 + tile[2]];
        from.values()[[(i + 5 * tile[0]) % CELLS, (j + 9 * tile[1]) % CELLS, (k + 3 * tile[2]) % CELLS]]
    });
    let tiled = Field3::new(*truth.grid(), tiled).unwrap();
    let faces = TileFaces::every(16, 0, [CELLS; 3]);
    let seamless = draw(CELLS, 1, 0.1);
    let known = |label: &str, field| Labelled::new(label, field).with_faces(Ok(vec![faces.clone()]));
    let comparison = compare(&Fields {
        truth: Labelled::new("truth", &truth),
        condition: None,
        samples: vec![known("sample", &seamless)],
        independent_tiles: Some(known("tiles", &tiled)),
        companion: None,
    });
    let json = json!(comparison);
    assert_eq!(json["samples"][0]["seams"]["seamless"], true, "{:#}", json["samples"][0]["seams"]);
    assert_eq!(json["baselines"]["independent_tiles"]["seams"]["seamless"], false);
    let seams =
        |comparison: &Comparison| comparison.goals.iter().find(|goal| goal.key == "seams").unwrap().clone();
    // One sample has no scatter; three say that there are none, and that tiles have some.
    assert_eq!(seams(&comparison).outcome, Outcome::Undecided);
    let several = |field: &[&Field3]| {
        let mut all = fields(&truth, None, field);
        all.samples.iter_mut().for_each(|sample| sample.faces = Ok(vec![faces.clone(), faces.clone()]));
        seams(&compare(&all))
    };
    let draws: Vec<Field3> = (1..9).map(|seed| draw(CELLS, seed, 0.01)).collect();
    let good = several(&draws.iter().collect::<Vec<_>>());
    assert_eq!(good.outcome, Outcome::Pass, "{good:?}");
    let stepped: Vec<Field3> = draws
        .iter()
        .map(|draw| {
            let step = |(x, _, _): (usize, usize, usize)| if x / 16 == 1 { 2.0 } else { 1.0 };
            Field3::new(*draw.grid(), Array3::from_shape_fn([CELLS; 3], |at| draw.values()[at] * step(at)))
                .unwrap()
        })
        .collect();
    let bad = several(&stepped.iter().collect::<Vec<_>>());
    assert!(bad.outcome == Outcome::Miss && bad.at.as_deref().unwrap().starts_with("step"), "{bad:?}");
}

#[test]
fn boxes_give_the_errors() {
    let truths = [0.0, 1.0, 2.0].map(|phase| waves(16, 0.8, phase));
    let of = |label: &str, truth: &Field3, factor: f64| {
        let sample = truth.map(|v| (1.0 + factor * (f64::from(v) - 1.0)) as f32);
        Measurements::new(label, &fields(truth, None, &[&sample])).unwrap()
    };
    let with = |others: Vec<Measurements>| {
        let boxes = others.into_iter().map(|other| other.summary).collect();
        Comparison::new(of("first", &truths[0], 0.9), Beside { boxes, ..Beside::default() })
    };
    let (second, third) = (of("second", &truths[1], 1.1), of("third", &truths[2], 1.0));
    let comparison = with(vec![second.clone(), third]).unwrap();
    // Ratios of 0.81, 1.21 and 1 of the truths' powers: the ratio of sums, and what it is without one after another.
    let power = truths.each_ref().map(|truth| {
        Measurements::new("truth", &fields(truth, None, &[truth])).unwrap().bands.truth_power[1]
    });
    let sum: f64 = power.iter().sum();
    let expected = power.iter().zip([0.81, 1.21, 1.0]).map(|(p, ratio)| p * ratio).sum::<f64>() / sum;
    let without = |left_out: usize| {
        let kept = power.iter().zip([0.81, 1.21, 1.0]).enumerate().filter(|(number, _)| *number != left_out);
        let (a, b) = kept.fold((0.0, 0.0), |(a, b), (_, (p, ratio))| (a + p * ratio, b + p));
        a / b
    };
    let without = [0, 1, 2].map(without);
    let mean = without.iter().sum::<f64>() / 3.0;
    let expected_error = (2.0 / 3.0 * without.iter().map(|r| (r - mean).powi(2)).sum::<f64>()).sqrt();
    let pooled = &comparison.pooled;
    assert_eq!((pooled.boxes, pooled.samples), (3, 3));
    let ratio = &pooled.estimates.ratio;
    let (value, error) = (ratio.value[1], ratio.standard_error[1]);
    assert!((value - expected).abs() < 1e-4 && (error - expected_error).abs() < 1e-4, "{ratio:?}");
    let labels = comparison.boxes.iter().map(|one| one.label.as_str());
    assert_eq!(labels.collect::<Vec<_>>(), ["first", "second", "third"]);
    assert_eq!(json!(comparison)["boxes"][1]["label"], "second");
    // Two boxes have a mean and no error, so that nothing is decided.
    let comparison = with(vec![second]).unwrap();
    assert_eq!(json!(comparison)["pooled"]["errors_from"], "nothing");
    assert!(comparison.pooled.estimates.ratio.standard_error.iter().all(|error| error.is_nan()));
    let outcomes = comparison.goals.iter().map(|goal| goal.outcome);
    assert!(outcomes.clone().all(|outcome| matches!(outcome, Outcome::Undecided | Outcome::NotMeasured)));
    let error = with(vec![of("small", &waves(12, 0.8, 0.0), 1.0)]).unwrap_err();
    assert!(matches!(&error, JudgeError::Boxes { .. }) && error.to_string().starts_with("small"), "{error}");
}

#[test]
fn goals_are_named_by_their_limits() {
    let truth = waves(16, 0.8, 0.0);
    let goals = compare(&fields(&truth, None, &[&truth])).goals;
    let of = |key: &str| {
        let goal = goals.iter().find(|goal| goal.key == key).unwrap();
        (goal.goal.as_str(), goal.right, goal.wanted)
    };
    assert_eq!(of("power_large_scales"), ("Power, k ≤ 1 h/Mpc", 1.0, 0.03));
    assert_eq!(of("percentile_99_9"), ("Densest 0.1 % of the voxels", 1.0, 0.05));
    assert_eq!(of("mass"), ("Total mass", 1.0, 0.005));
    assert_eq!(of("coverage").1, 0.0);
    let mut keys: Vec<&str> = goals.iter().map(|goal| goal.key).collect();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), goals.len());
}

#[test]
fn published_spectra_stand_beside() {
    let truth = waves(16, 0.8, 0.0);
    let measured = Measurements::new("box", &fields(&truth, None, &[&truth])).unwrap();
    let rows: Vec<String> = [0.01, 100.0].map(|k: f64| format!("{k} {}", 100.0 * k.powf(-1.5))).into();
    let table = PublishedSpectrum::parse("theory", "pk.txt".as_ref(), &rows.join("\n")).unwrap();
    let comparison =
        Comparison::new(measured, Beside { published: vec![table], ..Beside::default() }).unwrap();
    // The second band holds the first shell.
    let (measured, found) = (&comparison.measured, comparison.published[0].over_truth[1]);
    let expected = 100.0 * measured.k_h_mpc[0].powf(-1.5) / measured.truth.power[0];
    assert!((found / expected - 1.0).abs() < 1e-9, "{found} {expected}");
    assert_eq!(json!(comparison)["published"][0]["label"], "theory");
    assert!(!comparison.published[0].window_divided_out);
    assert_eq!(comparison.shown_power(&comparison.measured.truth), comparison.measured.truth.power);
}

#[test]
fn windows_are_divided_out_beside_published_spectra_where_all_fields_know_theirs() {
    let truth = waves(16, 0.8, 0.0);
    let table = || PublishedSpectrum::parse("theory", "pk.txt".as_ref(), "0.01 1\n100 1").unwrap();
    let with = |sample: Option<Scheme>| {
        let mut fields = fields(&truth, None, &[&truth]);
        fields.truth.assignment = Some(Scheme::Cic);
        fields.samples[0].assignment = sample;
        let measured = Measurements::new("box", &fields).unwrap();
        Comparison::new(measured, Beside { published: vec![table()], ..Beside::default() }).unwrap()
    };
    let (known, unknown) = (with(Some(Scheme::Cic)), with(None));
    let divided = |comparison: &Comparison| comparison.published[0].window_divided_out;
    assert!(divided(&known) && !divided(&unknown));
    let of_truth = &known.measured.truth;
    let expected = Modes::new(&truth, Some(Scheme::Cic)).unwrap().power().power;
    assert_eq!(known.shown_power(of_truth), expected);
    assert_eq!(unknown.shown_power(of_truth), Modes::new(&truth, None).unwrap().power().power);
    // A window takes power away: where there are waves, most of it at small scales.
    let factor = |band: usize| unknown.published[0].over_truth[band] / known.published[0].over_truth[band];
    assert!(factor(0) > 1.0 && factor(5) > 1.05, "{} {}", factor(0), factor(5));
}

#[test]
fn comparisons_that_make_no_sense_are_refused() {
    let truth = waves(8, 0.5, 0.0);
    let measure = |samples: &[&Field3]| Measurements::new("box", &fields(&truth, None, samples));
    assert!(matches!(measure(&[]), Err(JudgeError::NoSamples)));
    let other = waves(6, 0.5, 0.0);
    let named = Labelled::new("truth", &truth);
    for bad in [&other, &truth.map(|_| f32::NAN)] {
        let upscaled = Upscaled::new("x", &named, &[Labelled::new("sample 1", bad)]).map(|_| ());
        for error in [measure(&[bad]).map(|_| ()), upscaled].map(Result::unwrap_err) {
            assert!(matches!(error, JudgeError::Statistics { .. }));
            assert!(error.to_string().starts_with("sample 1 "), "{error}");
        }
    }
    assert!(matches!(Upscaled::new("x", &named, &[]), Err(JudgeError::NoSamples)));
}
