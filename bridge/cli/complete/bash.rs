//! The script and the answer for bash.
//!
//! Model: bash breaks words at `:`, `=` and `@`, which are within our names, and replaces what is behind the last break
//! alone. So the script puts the words together again as they were written, and cuts the answers to what bash replaces.
//! The script of `clap_complete` does neither.

use std::{
    ffi::OsString,
    io::{Error, Write},
    path::Path,
};

use clap::Command;
use clap_complete::{engine::complete, env::EnvCompleter};

/// bash, from version 4 on.
#[derive(Debug)]
pub(super) struct Bash;

impl EnvCompleter for Bash {
    fn name(&self) -> &'static str {
        "bash"
    }

    fn is(&self, name: &str) -> bool {
        name == "bash"
    }

    fn write_registration(
        &self,
        variable: &str,
        _name: &str,
        _bin: &str,
        completer: &str,
        to: &mut dyn Write,
    ) -> Result<(), Error> {
        let script = SCRIPT.replace("VARIABLE", variable);
        to.write_all(script.replace("COMPLETER", completer).as_bytes())
    }

    fn write_complete(
        &self,
        command: &mut Command,
        words: Vec<OsString>,
        directory: Option<&Path>,
        to: &mut dyn Write,
    ) -> Result<(), Error> {
        let index = words.len().saturating_sub(1);
        for candidate in complete(command, words, index, directory)? {
            writeln!(to, "{}", candidate.get_value().to_string_lossy())?;
        }
        Ok(())
    }
}

const SCRIPT: &str = r#"_zocp() {
    # The words up to the cursor as they were written: bash has broken them at $COMP_WORDBREAKS.
    local rest=${COMP_LINE:0:COMP_POINT} words=() word lead i
    for ((i = 0; i <= COMP_CWORD; i++)); do
        lead=${rest%%[![:blank:]]*}
        rest=${rest#"$lead"}
        word=${COMP_WORDS[i]}
        ((i == COMP_CWORD)) && word=$rest
        rest=${rest#"$word"}
        if [[ -n $lead || ${#words[@]} -eq 0 ]]; then
            words+=("$word")
        else
            words[${#words[@]} - 1]+=$word
        fi
    done
    local current=${words[${#words[@]} - 1]} quoted=
    [[ $current == [\"\']* ]] && quoted=1
    words=("${words[@]//[\\\"\']/}")
    current=${words[${#words[@]} - 1]}
    mapfile -t COMPREPLY < <(VARIABLE=bash COMPLETER -- "${words[@]}" 2>/dev/null)
    # bash replaces what is behind the last break of the word.
    local breaks=${COMP_WORDBREAKS//[[:space:]\"\'\\]/} cut=
    if [[ -z $quoted && -n $breaks ]]; then
        cut=${current%"${current##*[$breaks]}"}
    fi
    for i in "${!COMPREPLY[@]}"; do
        word=${COMPREPLY[i]#"$cut"}
        [[ -n $quoted ]] || printf -v word %q "$word"
        COMPREPLY[i]=$word
    done
    if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[=/:] ]]; then
        compopt -o nospace
    fi
}
# `nosort` is of bash 4.4.
complete -o bashdefault -o default -o nosort -F _zocp zocp 2>/dev/null ||
    complete -o bashdefault -o default -F _zocp zocp
"#;
