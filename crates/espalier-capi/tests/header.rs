//! The header declares what the library exports.

const HEADER: &str = include_str!("../include/espalier.h");
const SOURCES: [&str; 3] = [
    include_str!("../src/answers.rs"),
    include_str!("../src/call.rs"),
    include_str!("../src/runtime.rs"),
];

/// A function's name with the names of its parameters, from the text that begins with it; `name`
/// takes a parameter's name out of its declaration.
fn signature(text: &str, name: fn(&str) -> &str) -> String {
    let (function, rest) = text.split_once('(').unwrap();
    let parameters = rest.split(')').next().unwrap().split(',').map(|one| name(one.trim()));
    let parameters: Vec<&str> = parameters.filter(|name| !name.is_empty()).collect();
    format!("{function}({})", parameters.join(", "))
}

fn exported() -> Vec<String> {
    let after = SOURCES.iter().flat_map(|source| source.split("#[unsafe(no_mangle)]").skip(1));
    let functions = after.map(|text| {
        signature(text.split_once("fn ").unwrap().1, |one| one.split(':').next().unwrap())
    });
    let mut functions: Vec<String> = functions.collect();
    functions.sort();
    functions
}

/// A declaration is a statement with a parenthesis; comments are none, and have no semicolons
/// before one.
fn declared() -> Vec<String> {
    let code: String = HEADER
        .split("/*")
        .map(|text| text.split_once("*/").map_or(text, |(_, code)| code))
        .collect();
    let declarations = code.split(';').filter(|one| one.contains('('));
    let functions = declarations.map(|one| {
        let start = one.find("espalier_").unwrap();
        signature(&one[start..], |one| {
            if one == "void" { "" } else { one.rsplit([' ', '*']).next().unwrap() }
        })
    });
    let mut functions: Vec<String> = functions.collect();
    functions.sort();
    functions
}

#[test]
fn the_header_declares_the_exported_functions() {
    let declared = declared();
    assert!(declared.contains(&"espalier_open(path, precision, out)".to_string()), "{declared:#?}");
    assert_eq!(exported(), declared);
}
