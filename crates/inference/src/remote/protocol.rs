//! The Open Inference Protocol v2: what a request says, and what of an answer is believed.
//!
//! Of an answer all is believed or nothing: whoever returns one score that cannot be is not trusted with the others.

use serde::{Deserialize, Serialize};

use super::failure::Failure;
use crate::detectors::{Expected, Remote};

/// What a server says of a sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Judgement {
    /// How strange it is, 0 to 1.
    pub score: f64,
    /// What was expected, where the server says so.
    pub expected: Option<Expected>,
}

/// Rows of values.
#[derive(Debug)]
pub(crate) struct Rows {
    /// How many.
    pub count: usize,
    /// Values of each.
    pub width: usize,
    /// One row after the other.
    pub values: Vec<f64>,
}

#[derive(Serialize)]
struct Request<'a> {
    id: &'a str,
    inputs: [Input<'a>; 1],
}

#[derive(Serialize)]
struct Input<'a> {
    name: &'a str,
    shape: [usize; 2],
    datatype: &'static str,
    data: &'a [f64],
}

/// What else an answer holds is for others.
#[derive(Deserialize)]
struct Answer {
    id: Option<String>,
    outputs: Vec<Output>,
}

#[derive(Deserialize)]
struct Output {
    name: String,
    shape: Vec<usize>,
    datatype: String,
    data: Data,
}

/// The protocol has tensors of two dimensions flat or nested.
#[derive(Deserialize)]
#[serde(untagged)]
enum Data {
    Flat(Vec<f64>),
    Nested(Vec<[f64; 1]>),
    /// Of another tensor, perhaps, which is nobody's business here.
    Other(serde::de::IgnoredAny),
}

/// The body of a request.
pub(crate) fn request(model: &Remote, id: &str, rows: &Rows) -> Vec<u8> {
    let input = Input {
        name: &model.parameters.input,
        shape: [rows.count, rows.width],
        datatype: "FP64",
        data: &rows.values,
    };
    let body = serde_json::to_vec(&Request { id, inputs: [input] });
    body.expect("texts and numbers are JSON")
}

/// What the body of an answer says of so many rows, in their order.
pub(crate) fn judgements(
    model: &Remote,
    id: &str,
    rows: usize,
    body: &[u8],
) -> Result<Vec<Judgement>, Failure> {
    let answer: Answer =
        serde_json::from_slice(body).map_err(|error| Failure::nonsense(error.to_string()))?;
    if let Some(other) = answer.id.filter(|other| other != id) {
        return Err(Failure::nonsense(format!("it answers request {other:?}, not {id:?}")));
    }
    let tensor = |name: &str| {
        let output = answer.outputs.iter().find(|output| output.name == name);
        output.map(|output| output.column(rows)).transpose()
    };
    let name = &model.parameters.output;
    let scores = tensor(name)?.ok_or_else(|| Failure::nonsense(format!("no output is named {name:?}")))?;
    if let Some(score) = scores.iter().find(|score| !(0.0..=1.0).contains(*score)) {
        return Err(Failure::nonsense(format!("a score is {score}, which is not 0 to 1")));
    }
    let expected = match (tensor("expected")?, tensor("lower")?, tensor("upper")?) {
        (None, None, None) => vec![None; rows],
        (Some(values), Some(lower), Some(upper)) => intervals(&values, &lower, &upper)?,
        _ => return Err(Failure::nonsense("of expected, lower and upper only some are there")),
    };
    let judgement = |(score, expected)| Judgement { score, expected };
    Ok(scores.into_iter().zip(expected).map(judgement).collect())
}

fn intervals(values: &[f64], lower: &[f64], upper: &[f64]) -> Result<Vec<Option<Expected>>, Failure> {
    let bounds = lower.iter().zip(upper);
    let interval = |(value, (lower, upper)): (&f64, (&f64, &f64))| {
        if lower <= value && value <= upper {
            return Ok(Some(Expected { value: *value, lower: *lower, upper: *upper }));
        }
        Err(Failure::nonsense(format!("expected {value} does not lie between {lower} and {upper}")))
    };
    values.iter().zip(bounds).map(interval).collect()
}

impl Output {
    /// Its numbers, if it has one for each row.
    fn column(&self, rows: usize) -> Result<Vec<f64>, Failure> {
        let Self { name, shape, datatype, data } = self;
        if *shape != [rows] && *shape != [rows, 1] {
            return Err(Failure::nonsense(format!("output {name:?} is of shape {shape:?}, not [{rows}]")));
        }
        if !matches!(datatype.as_str(), "FP32" | "FP64") {
            return Err(Failure::nonsense(format!("output {name:?} is {datatype:?}, not FP32 or FP64")));
        }
        let numbers = match data {
            Data::Flat(numbers) => numbers.clone(),
            Data::Nested(nested) => nested.iter().map(|[number]| *number).collect(),
            Data::Other(_) => {
                return Err(Failure::nonsense(format!("output {name:?} is no list of numbers")));
            }
        };
        if numbers.len() != rows {
            let count = numbers.len();
            return Err(Failure::nonsense(format!("output {name:?} has {count} numbers for {rows} rows")));
        }
        // JSON has no others, and its reader refuses what is too large: this is for readers that change.
        if let Some(number) = numbers.iter().find(|number| !number.is_finite()) {
            return Err(Failure::nonsense(format!("output {name:?} holds {number}")));
        }
        Ok(numbers)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn model() -> Remote {
        Remote::configure(&json!({ "url": "http://m", "model": "pump" })).expect("parameters")
    }

    fn output(name: &str, data: &Value) -> Value {
        json!({ "name": name, "shape": [2], "datatype": "FP64", "data": data })
    }

    fn read(answer: &Value) -> Result<Vec<Judgement>, Failure> {
        judgements(&model(), "7", 2, answer.to_string().as_bytes())
    }

    #[test]
    fn a_request_is_as_the_protocol_has_it() {
        let rows = Rows { count: 2, width: 2, values: vec![1.0, 2.5, 2.5, 3.0] };
        let body: Value = serde_json::from_slice(&request(&model(), "7", &rows)).expect("JSON");
        let input = json!({ "name": "x", "shape": [2, 2], "datatype": "FP64", "data": [1.0, 2.5, 2.5, 3.0] });
        assert_eq!(body, json!({ "id": "7", "inputs": [input] }));
    }

    #[test]
    fn answers_are_read_in_every_form_that_the_protocol_has() {
        let plain = |score| Judgement { score, expected: None };
        let flat = json!({ "id": "7", "model_name": "m", "outputs": [output("score", &json!([0, 1.0]))] });
        assert_eq!(read(&flat).expect("scores"), [plain(0.0), plain(1.0)]);
        let nested = json!({ "name": "score", "shape": [2, 1], "datatype": "FP32", "data": [[0.25], [0.5]] });
        let other = json!({ "name": "label", "shape": [1], "datatype": "BYTES", "data": ["hot"] });
        let nested = json!({ "outputs": [other, nested] });
        assert_eq!(read(&nested).expect("scores"), [plain(0.25), plain(0.5)]);
        let whole = json!({ "outputs": [
            output("score", &json!([0.1, 0.2])),
            output("expected", &json!([1, 2])),
            output("lower", &json!([0, 2])),
            output("upper", &json!([2, 2])),
        ] });
        let expected = read(&whole).expect("scores")[0].expected;
        assert_eq!(expected, Some(Expected { value: 1.0, lower: 0.0, upper: 2.0 }));
    }

    #[test]
    fn nonsense_is_refused_as_a_whole_and_said() {
        let with = |data: &Value| json!({ "outputs": [output("score", data)] });
        let mut of_text = with(&json!([0.1, 0.2]));
        of_text["outputs"][0]["datatype"] = json!("BYTES");
        let mut long = with(&json!([0.1, 0.2]));
        long["outputs"][0]["shape"] = json!([3]);
        let mut of_other = with(&json!([0.1, 0.2]));
        of_other["id"] = json!("8");
        let beside = |name: &str, data: &Value| json!({ "outputs": [output("score", &json!([0.1, 0.2])), output(name, data)] });
        for (answer, says) in [
            (with(&json!([0.1, 1.1])), "a score is 1.1"),
            (with(&json!([0.1, -0.1])), "a score is -0.1"),
            (with(&json!([0.1])), "1 numbers for 2 rows"),
            (with(&json!([0.1, 0.2, 0.3])), "3 numbers for 2 rows"),
            (with(&json!([0.1, null])), "no list of numbers"),
            (with(&json!(["a", "b"])), "no list of numbers"),
            (of_text, "not FP32 or FP64"),
            (long, "shape [3], not [2]"),
            (of_other, "answers request"),
            (json!({ "outputs": [] }), "no output is named"),
            (json!({ "error": "no such model" }), "missing field"),
            (json!([]), "invalid length"),
            (beside("expected", &json!([1, 2])), "only some are there"),
            (beside("upper", &json!([1])), "1 numbers"),
        ] {
            let failure = read(&answer).expect_err("refused").to_string();
            assert!(failure.starts_with("nonsense") && failure.contains(says), "{answer}: {failure}");
        }
        for body in
            ["", "<html>", r#"{"outputs":[{"name":"score","shape":[2],"datatype":"FP64","data":[NaN,1]}]}"#]
        {
            assert!(judgements(&model(), "7", 2, body.as_bytes()).is_err(), "{body}");
        }
        let huge = r#"{"outputs":[{"name":"score","shape":[2],"datatype":"FP64","data":[1e999,1]}]}"#;
        assert!(judgements(&model(), "7", 2, huge.as_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn what_is_believed_is_sound(data in prop::collection::vec(-0.5..1.5_f64, 0..4), shape in 0..4_usize) {
            let output = json!({ "name": "score", "shape": [shape], "datatype": "FP64", "data": data });
            let sound = data.len() == 2 && shape == 2 && data.iter().all(|score| (0.0..=1.0).contains(score));
            let said = read(&json!({ "outputs": [output] }));
            prop_assert_eq!(said.is_ok(), sound);
            prop_assert!(said.is_err() || said.is_ok_and(|said| said.len() == 2 && said[1].score.to_bits() == data[1].to_bits()));
        }
    }
}
