"""What an entry holds, and what it costs."""

from __future__ import annotations

from gateway.cache.entry import Entry, Part


def stored() -> Entry:
    return Entry(
        200, [(b"etag", b'"1"')], born_at=1.0, stored_at=2.0, fresh_until=9.0, kept_until=20.0, vary=((b"accept", None),),
        tags=(b"red",), etag=b'"1"', stale_if_error=3.0, never_stale=True, part=Part(0, 2, 9),
    )  # fmt: skip


def test_a_body_makes_a_new_entry_with_its_length():
    head = stored()
    whole = head.with_body([b"abc", b"de"])
    assert (whole.chunks, whole.length) == ((b"abc", b"de"), 5)
    assert (head.chunks, head.length) == ((), 0)


def test_a_body_leaves_all_else_as_it_was():
    head = stored()
    for name in set(Entry.__slots__) - {"_bare_size", "_body", "_pieces", "forms", "length", "memo", "place"}:
        setattr(head, name, mark := object())
        assert getattr(head.with_body([b"abc"]), name) is mark, name


def test_a_copy_has_all_but_forms_and_memo():
    entry = stored().with_body([b"abc"])
    entry.add_form(b"gzip", b"z")
    entry.memo = "ours"

    copy = entry.copy(fresh_until=5.0)

    assert copy.fresh_until == 5.0
    assert (copy.forms, copy.memo) == ({}, None)
    for name in set(Entry.__slots__) - {"_bare_size", "forms", "memo", "fresh_until"}:
        assert getattr(copy, name) == getattr(entry, name)


def test_fields_body_forms_and_tags_all_count_for_the_size():
    entry = stored()
    sizes = [entry.size]
    entry = entry.with_body([bytes(1000)])
    sizes.append(entry.size)
    entry.add_form(b"gzip", bytes(100))
    sizes.append(entry.size)
    assert sizes[1] == sizes[0] + 1000
    assert sizes[2] == sizes[1] + 100
    assert entry.copy(tags=()).size < entry.copy().size
    assert entry.copy(headers=[]).size < entry.copy().size
    assert entry.copy(chunks=None).size == sizes[0]
