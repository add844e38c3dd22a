from hypothesis import given
from hypothesis import strategies as st

from gateway.rfc.octets import changing_all_but


@given(st.sets(st.integers(0, 255)), st.binary(max_size=40))
def test_a_text_stays_as_it_is_only_where_all_of_it_is_allowed(allowed: set[int], text: bytes):
    assert (text.translate(changing_all_but(allowed)) == text) == (set(text) <= allowed)
