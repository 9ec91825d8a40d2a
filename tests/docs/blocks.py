#!/usr/bin/env python3
"""Turns the C++ blocks of a Markdown page into doctest cases: blocks.py PAGE.md OUT.cpp

    ```cpp                statements; each such block is a test case of its own
    ```cpp declarations   functions and types at namespace scope, seen by the page's later blocks
    ```cpp needs NAME     statements for which a library is needed that may not be there: seen if XTAPE_TESTS_NAME is
                          defined, in capitals
    ```cpp program        a whole program, which a test of its own covers; skipped here

A statement `expression;  // = text` claims that the expression, printed, reads as the text. The comment stands on the
statement's last line.
"""
import re
import sys
from pathlib import Path

CLAIM = re.compile(r"^(\s*)(.*\S);\s+// = (.*\S)\s*$")


def blocks(text):
    """(info string, line of the first code line, code lines) of each C++ block, without the fence's indent."""
    inside = None
    for number, line in enumerate(text.splitlines(), 1):
        fence = re.match(r"^(\s*)```\s*(.*?)\s*$", line)
        if fence and inside is None:
            inside = (fence[2], number + 1, fence[1], [])
        elif fence:
            if inside[0].split()[:1] == ["cpp"]:
                yield inside[0].split()[1:], inside[1], inside[3]
            inside = None
        elif inside is not None:
            inside[3].append(line[len(inside[2]):] if line.startswith(inside[2]) else line)
    if inside is not None:
        sys.exit(f"a code block that begins on line {inside[1]} never ends")


def balance(code):
    return sum(code.count(c) for c in "([{") - sum(code.count(c) for c in ")]}")


def statements(lines):
    """The lines, with claims made checks. An expression is taken from where its brackets open."""
    result = []
    for line in lines:
        claim = CLAIM.match(line)
        if not claim:
            result.append(line)
            continue
        expression = claim[2]
        while balance(expression) < 0 and result:
            expression = result.pop() + "\n" + expression
        text = claim[3].replace("\\", "\\\\").replace('"', '\\"')
        result.append(f'docs_check(({expression}), "{text}");')
    return result


def main():
    page, out = Path(sys.argv[1]), Path(sys.argv[2])
    code = ['#include "docs/check.hpp"', f"namespace docs_{re.sub(r'[^a-z0-9]', '_', page.stem.lower())} {{", ""]
    for info, line, lines in blocks(page.read_text()):
        if "program" in info:
            continue
        if "declarations" in info:
            kept = [text for text in lines if not text.startswith(("#include <xtape/", "using namespace xtape"))]
            code += [f'#line {line} "{page.name}"', *kept]
        else:
            case = [f'TEST_CASE("docs: {page.name}, line {line}") {{', f'#line {line} "{page.name}"',
                    *statements(lines), "}"]
            if "needs" in info:
                case = [f"#ifdef XTAPE_TESTS_{info[info.index('needs') + 1].upper()}", *case, "#endif"]
            code += case
    code += ["}  // namespace", ""]
    out.write_text("\n".join(code))


main()
