"""Documents that are part prose and part measured: tables and pictures stand between marks."""


def write_blocks(template, path, blocks):
    """Writes `template` to `path`, with what stands between `<!-- name -->` and `<!-- end name -->` replaced by
    blocks[name]. Marks of other names and everything else stay. Throws ValueError if an end is missing."""
    lines, inside = [], None
    for line in template.read_text().splitlines():
        mark = line.strip()
        if inside and mark == f"<!-- end {inside} -->":
            inside = None
        if inside is None:
            lines.append(line)
            if mark.startswith("<!-- ") and not mark.startswith("<!-- end") and mark[5:-4] in blocks:
                inside = mark[5:-4]
                lines += blocks[inside].splitlines()
    if inside:
        raise ValueError(f"<!-- end {inside} --> is missing")
    # Under another name first: a file that is there is whole.
    part = path.with_suffix(".part")
    part.write_text("\n".join(lines) + "\n")
    part.replace(path)
