use std::collections::BTreeSet;

use super::routes;

/// Methods and paths that a description in YAML names, read by its indentation.
fn described(text: &str) -> BTreeSet<(String, String)> {
    let methods = ["get", "put", "post", "delete", "patch", "head", "options"];
    let mut path = String::new();
    let mut found = BTreeSet::new();
    let lines = text.lines().skip_while(|line| *line != "paths:").skip(1);
    for line in lines.take_while(|line| line.starts_with(' ')) {
        let indented = |by: usize| {
            let rest = line.split_at_checked(by).filter(|(space, _)| space.trim().is_empty())?.1;
            rest.strip_suffix(':').filter(|name| !name.starts_with(' '))
        };
        if let Some(name) = indented(2) {
            path = name.to_owned();
        } else if let Some(method) = indented(4).filter(|name| methods.contains(name)) {
            found.insert((method.to_owned(), path.clone()));
        }
    }
    found
}

#[test]
fn every_route_is_described_and_every_description_has_a_route() {
    let answered: Vec<_> = routes()
        .into_iter()
        .map(|(method, path, _)| (method.to_owned(), path.to_owned()))
        .collect();
    let all: BTreeSet<_> = answered.iter().cloned().collect();
    assert_eq!(all.len(), answered.len());
    assert_eq!(all, described(include_str!("../../docs/openapi.yaml")));
}
