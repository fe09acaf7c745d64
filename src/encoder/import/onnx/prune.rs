//! Leaves out what a result does not need: of a file with both encoders of CLIP, the text's.

use std::collections::{HashMap, HashSet};

use tract_onnx::pb::{GraphProto, NodeProto};

/// Removes nodes, constants and inputs that the graph's outputs do not depend on. Nodes then come after
/// what they read, which converters forget.
pub(super) fn prune(graph: &mut GraphProto) {
    let nodes = std::mem::take(&mut graph.node);
    let makers: HashMap<&str, usize> = nodes
        .iter()
        .enumerate()
        .flat_map(|(i, node)| node.output.iter().map(move |output| (output.as_str(), i)))
        .collect();
    let mut needed: HashSet<String> = graph.output.iter().map(|o| o.name.clone()).collect();
    let mut order = Vec::new();
    // A node is open once it was met, and done once all that it reads is.
    let (mut open, mut done) = (vec![false; nodes.len()], vec![false; nodes.len()]);
    let mut stack: Vec<usize> =
        needed.iter().filter_map(|name| makers.get(name.as_str()).copied()).collect();
    while let Some(&i) = stack.last() {
        if std::mem::replace(&mut open[i], true) {
            stack.pop();
            if !std::mem::replace(&mut done[i], true) {
                order.push(i);
            }
            continue;
        }
        let mut names = HashSet::new();
        read_by(&nodes[i], &mut names);
        let mut before: Vec<usize> =
            names.iter().filter_map(|name| makers.get(name.as_str()).copied()).collect();
        before.retain(|node| !open[*node]);
        // The file's order, whatever the set's.
        before.sort_unstable_by(|a, b| b.cmp(a));
        stack.extend(before);
        needed.extend(names);
    }
    drop(makers);
    let mut nodes: Vec<Option<NodeProto>> = nodes.into_iter().map(Some).collect();
    graph.node = order.into_iter().filter_map(|i| nodes[i].take()).collect();
    graph.initializer.retain(|tensor| needed.contains(&tensor.name));
    graph.input.retain(|input| needed.contains(&input.name));
}

/// What a node reads, also from inside of its own graphs.
fn read_by(node: &NodeProto, names: &mut HashSet<String>) {
    names.extend(node.input.iter().cloned());
    let graphs =
        node.attribute.iter().flat_map(|attribute| attribute.g.iter().chain(&attribute.graphs));
    graphs.flat_map(|graph| &graph.node).for_each(|node| read_by(node, names));
}

#[cfg(test)]
mod tests {
    use tract_onnx::pb::{TensorProto, ValueInfoProto};

    use super::*;

    fn named(name: &str) -> ValueInfoProto {
        ValueInfoProto { name: name.into(), ..ValueInfoProto::default() }
    }

    fn node(inputs: &[&str], output: &str) -> NodeProto {
        NodeProto {
            input: inputs.iter().map(ToString::to_string).collect(),
            output: vec![output.into()],
            ..NodeProto::default()
        }
    }

    #[test]
    fn the_other_encoder_goes_and_nodes_follow_what_they_read() {
        let weights = |name: &str| TensorProto { name: name.into(), ..TensorProto::default() };
        let mut graph = GraphProto {
            input: vec![named("input_ids"), named("pixel_values")],
            output: vec![named("image_embeds")],
            initializer: vec![weights("words"), weights("patches")],
            node: vec![
                node(&["input_ids", "words"], "text_embeds"),
                node(&["pixel_values", "patches"], "hidden"),
                node(&["image_embeds", "text_embeds"], "logits"),
                node(&["hidden", "cast"], "image_embeds"),
                node(&["hidden"], "cast"),
            ],
            ..GraphProto::default()
        };
        prune(&mut graph);
        let names = |infos: &[ValueInfoProto]| -> Vec<String> {
            infos.iter().map(|info| info.name.clone()).collect()
        };
        assert_eq!(names(&graph.input), ["pixel_values"]);
        let made: Vec<&str> = graph.node.iter().map(|node| node.output[0].as_str()).collect();
        assert_eq!(made, ["hidden", "cast", "image_embeds"]);
        assert_eq!(graph.initializer.len(), 1);
    }
}
