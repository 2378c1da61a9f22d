use super::*;

fn close(one: f64, other: f64) {
    assert!((one - other).abs() < 1e-9, "{one} is not {other}");
}

fn scorer(windows: &[(usize, usize)], length: usize, detections: &[usize]) -> Scorer {
    let mut marks = vec![0.0; length];
    for index in detections {
        marks[*index] = 1.0;
    }
    let mut scorer = Scorer::new(Profile::STANDARD);
    scorer.add(windows, &marks);
    scorer
}

#[test]
fn the_first_sample_of_a_window_is_worth_all_and_the_last_the_least() {
    close(scorer(&[(50, 59)], 100, &[50]).at(0.5).raw, 1.0);
    close(scorer(&[(50, 59)], 100, &[50]).at(0.5).normalised, 100.0);
    let last = (2.0 / (1.0 + 0.5_f64.neg_exp()) - 1.0) / (2.0 / (1.0 + 5.0_f64.neg_exp()) - 1.0);
    close(scorer(&[(50, 59)], 100, &[59]).at(0.5).raw, last);
}

/// `exp(-x)`, for sigmoids that are written out.
trait NegExp {
    fn neg_exp(self) -> f64;
}

impl NegExp for f64 {
    fn neg_exp(self) -> f64 {
        (-self).exp()
    }
}

#[test]
fn only_the_first_detection_in_a_window_counts() {
    let once = scorer(&[(50, 59)], 100, &[53]).at(0.5);
    let often = scorer(&[(50, 59)], 100, &[53, 54, 57, 59]).at(0.5);
    assert_eq!(once, often);
    assert_eq!((once.found, once.false_alarms), (1, 0));
}

#[test]
fn nothing_detected_is_zero_and_raw_what_is_missed() {
    let none = scorer(&[(50, 59), (80, 84)], 100, &[]).at(0.5);
    close(none.raw, -2.0);
    close(none.normalised, 0.0);
}

#[test]
fn a_false_alarm_costs_by_its_distance_behind_a_window() {
    close(scorer(&[(50, 59)], 100, &[30]).at(0.5).raw, -1.0 - 0.11);
    // One window's width (less one) behind, in nines.
    let near = 2.0 / (1.0 + 5.0_f64.exp()) - 1.0;
    close(scorer(&[(50, 59)], 100, &[68]).at(0.5).raw, -1.0 + 0.11 * near);
    close(scorer(&[(50, 59)], 100, &[99]).at(0.5).raw, -1.0 - 0.11);
    close(
        scorer(&[(50, 59)], 100, &[60]).at(0.5).raw,
        -1.0 + 0.11 * (2.0 / (1.0 + (5.0_f64 / 9.0).exp()) - 1.0),
    );
}

#[test]
fn the_beginning_is_not_scored() {
    close(scorer(&[(50, 59)], 100, &[0, 14]).at(0.5).raw, -1.0);
    close(scorer(&[(50, 59)], 100, &[15]).at(0.5).raw, -1.11);
    assert_eq!([learning(100), learning(4_032), learning(5_000), learning(20_000)], [15, 604, 750, 750]);
}

#[test]
fn one_threshold_serves_all_series() {
    let mut scorer = Scorer::new(Profile::STANDARD);
    let series = |peak: f64, elsewhere: f64| {
        let mut marks = vec![0.0; 100];
        (marks[50], marks[20]) = (peak, elsewhere);
        marks
    };
    scorer.add(&[(50, 59)], &series(0.9, 0.1));
    scorer.add(&[(50, 59)], &series(0.4, 0.5));
    scorer.add(&[], &series(0.2, 0.3));
    let best = scorer.best();
    close(best.threshold, 0.4);
    close(best.raw, 2.0 - 0.11);
    close(best.normalised, 100.0 * (4.0 - 0.11) / 4.0);
    assert_eq!(best, scorer.at(0.4));
    close(scorer.at(0.6).raw, 0.0);
}
