"""Describe the data of numpy, pandas, scipy and torch by what they hold, not how they hold it.

None of these is imported: a value of a library is here only if the library is. Each description
is a tag and named parts, which are values again; raw data is a :class:`memoryview` of bytes, so
that it is hashed where it lies::

    numpy.arange(3.0)  ->  Parts("numpy.ndarray", {".dtype": "float64 <f8", ".shape": (3,),
                                                   ".data": memoryview(...)})
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple


class Parts(NamedTuple):
    """What a value is made of.

    :param tag: the kind of value.
    :param named: its parts; a name is also the step that leads to the part in an error's path.
    """

    tag: str
    named: Mapping[str, object]


def describe_data(value: object) -> Parts | None:
    """Return what a value of a data library is made of, or None for any other value."""
    for cls in type(value).__mro__:
        describe = _DESCRIPTIONS.get((str(cls.__module__).partition(".")[0], cls.__qualname__))
        if describe is not None:
            return describe(value)
    return None


# ---------------------------------------------------------------------------------------- numpy


def _describe_ndarray(value: Any) -> Parts:
    numpy = sys.modules["numpy"]
    named = {
        ".dtype": _layout(value.dtype),
        ".shape": value.shape,
        ".data": _contents(numpy.asarray(value)),
    }
    if type(value) not in (numpy.ndarray, numpy.memmap):  # where a file is mapped from is no matter
        named |= {".__class__": type(value), ".__dict__": getattr(value, "__dict__", {})}
    return Parts("numpy.ndarray", named)


def _layout(dtype: Any) -> object:
    """Return what tells the elements of arrays apart, whatever their byte order."""
    if dtype.names is not None:  # each field is an array of its own, with its own layout
        return dtype.names
    return f"{dtype.name} {dtype.str.replace('>', '<')}"


def _contents(array: Any) -> object:
    if array.dtype.names is not None:  # by field: what lies between two fields is undefined
        return {name: array[name] for name in array.dtype.names}
    if array.dtype.hasobject or array.dtype.kind == "T":
        return array.reshape(-1).tolist()
    return _buffer(array)


def _buffer(array: Any) -> memoryview | bytes:
    """Return the bytes of an array in C order, little-endian; a copy only where that needs one."""
    numpy = sys.modules["numpy"]
    flat = numpy.ascontiguousarray(array).reshape(-1)
    if flat.nbytes == 0:
        return b""
    if flat.dtype.str.startswith(">"):
        flat = flat.astype(flat.dtype.newbyteorder("<"))
    if flat.dtype.kind in "fc":
        flat = _with_one_nan(flat)
    return memoryview(flat.view(numpy.uint8))


def _with_one_nan(flat: Any) -> Any:
    """Return a flat array of floats in which all NaNs have the same bits."""
    numpy = sys.modules["numpy"]
    if flat.dtype.kind == "c":
        flat = flat.view(flat.real.dtype)
    missing = numpy.isnan(flat)
    if missing.any():
        flat = numpy.where(missing, flat.dtype.type("nan"), flat)
    if flat.itemsize > 8 and numpy.finfo(flat.dtype).nmant == 63:
        # x87 keeps its 10 bytes in 12 or 16, and never writes the rest
        flat = flat.view(numpy.uint8).reshape(-1, flat.itemsize)[:, :10].reshape(-1)
    return flat


def _describe_numpy_scalar(value: Any) -> Parts:
    return Parts("numpy.generic", {"": sys.modules["numpy"].asarray(value)})


def _describe_masked(value: Any) -> Parts:
    numpy = sys.modules["numpy"]
    named = {
        ".__class__": type(value),
        ".data": value.data,
        ".mask": numpy.ma.getmaskarray(value),
        ".fill_value": value.fill_value,
    }
    return Parts("numpy.ma.MaskedArray", named)


def _describe_dtype(value: Any) -> Parts:
    named: dict[str, object] = {"": (value.name, value.str)}
    if value.subdtype is not None:
        named[".subdtype"] = value.subdtype
    elif value.names is not None:
        named[".fields"] = [(name, *value.fields[name]) for name in value.names]
        named[".isalignedstruct"] = value.isalignedstruct
    elif value.kind == "T":
        named[".na_object"] = getattr(value, "na_object", None)
        named[".coerce"] = value.coerce
    return Parts("numpy.dtype", named)


def _describe_generator(value: Any) -> Parts:
    return Parts("numpy.Generator", {".bit_generator": value.bit_generator})


def _describe_bit_generator(value: Any) -> Parts:
    return Parts("numpy.BitGenerator", {".state": value.state})


def _describe_random_state(value: Any) -> Parts:
    return Parts("numpy.RandomState", {".state": value.get_state(legacy=False)})


# ---------------------------------------------------------------------------------------- pandas


def _describe_frame(value: Any) -> Parts:
    columns = {f".iloc[:, {place}]": _column(each) for place, (_, each) in enumerate(value.items())}
    named = {".index": value.index, ".columns": value.columns, **columns}
    return Parts("pandas.DataFrame", named | _own_attributes(value))


def _describe_series(value: Any) -> Parts:
    named = {".index": value.index, ".name": value.name, ".array": _column(value)}
    return Parts("pandas.Series", named | _own_attributes(value))


def _own_attributes(value: Any) -> dict[str, object]:
    """Return the metadata of a frame or series, and what a subclass has declared as its own."""
    declared = {f".{name}": getattr(value, name, None) for name in value._metadata}
    return {".__class__": type(value), ".attrs": value.attrs, **declared}


def _column(column: Any) -> object:
    """Return the data of a series or index: the numpy array, or else the extension array."""
    plain = isinstance(column.dtype, sys.modules["numpy"].dtype)
    return column.to_numpy() if plain else column.array


def _describe_index(value: Any) -> Parts:
    return Parts("pandas.Index", {".names": list(value.names), ".array": _column(value)})


def _describe_multi_index(value: Any) -> Parts:
    levels = [_column(value.get_level_values(level)) for level in range(value.nlevels)]
    return Parts("pandas.MultiIndex", {".names": list(value.names), ".levels": levels})


def _describe_categorical(value: Any) -> Parts:
    named = {
        ".categories": value.categories,
        ".codes": value.codes.astype("int64"),
        ".ordered": value.ordered,
    }
    return Parts("pandas.Categorical", named)


def _describe_masked_column(value: Any) -> Parts:
    element = value.dtype.numpy_dtype
    data = value.to_numpy(dtype=element, na_value=element.type(0))
    named = {".dtype": str(value.dtype), ".data": data, ".isna()": value.isna()}
    return Parts("pandas.array", named)


def _describe_datetimes(value: Any) -> Parts:
    return Parts("pandas.array", {".dtype": str(value.dtype), ".data": value.asi8})


def _describe_numpy_column(value: Any) -> Parts:
    return Parts("pandas.array", {".dtype": str(value.dtype), ".data": value.to_numpy()})


def _describe_extension_array(value: Any) -> Parts:
    elements = value.astype(object)
    return Parts("pandas.array", {".dtype": str(value.dtype), "": list(elements)})


def _describe_timestamp(value: Any) -> Parts:
    named = {"": value.isoformat(), ".tzinfo": value.tzinfo, ".fold": value.fold}
    return Parts("pandas.Timestamp", named)


def _describe_timedelta(value: Any) -> Parts:
    return Parts("pandas.Timedelta", {"": value.isoformat()})


def _describe_extension_dtype(value: Any) -> Parts:
    return Parts("pandas.dtype", {".__class__": type(value), "": str(value)})


def _describe_categorical_dtype(value: Any) -> Parts:
    named = {".categories": value.categories, ".ordered": value.ordered}
    return Parts("pandas.CategoricalDtype", named)


# --------------------------------------------------------------------------- scipy and torch


def _describe_sparse(value: Any) -> Parts:
    # what a matrix has found out about itself comes and goes with its use
    named = {
        f".{name}": part
        for name, part in vars(value).items()
        if name not in ("_has_sorted_indices", "_has_canonical_format")
    }
    return Parts("scipy.sparse", {".__class__": type(value), **named})


def _describe_tensor(value: Any) -> Parts:
    torch = sys.modules["torch"]
    strided = value.layout is torch.strided
    named = {
        ".__class__": type(value),
        ".dtype": str(value.dtype),
        ".shape": tuple(value.shape),
        ".layout": str(value.layout),
        ".requires_grad": value.requires_grad,
        ".data": _tensor_bytes(value if strided else value.to_dense()),
    }
    return Parts("torch.Tensor", named)


def _tensor_bytes(tensor: Any) -> memoryview | bytes:
    torch = sys.modules["torch"]
    flat = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous().reshape(-1)
    if flat.numel() == 0:
        return b""
    if flat.is_complex():
        flat = torch.view_as_real(flat).reshape(-1)
    if flat.is_floating_point():
        flat = flat.masked_fill(flat.isnan(), float("nan"))
    return memoryview(flat.view(torch.uint8).numpy())


def _describe_torch_generator(value: Any) -> Parts:
    return Parts("torch.Generator", {".device": str(value.device), "": value.get_state()})


# The first class of a value's MRO that is found here describes it.
_DESCRIPTIONS: dict[tuple[str, str], Callable[[Any], Parts]] = {
    ("numpy", "ndarray"): _describe_ndarray,
    ("numpy", "generic"): _describe_numpy_scalar,
    ("numpy", "MaskedArray"): _describe_masked,
    ("numpy", "MaskedConstant"): lambda _: Parts("numpy.ma.masked", {}),
    ("numpy", "dtype"): _describe_dtype,
    ("numpy", "Generator"): _describe_generator,
    ("numpy", "BitGenerator"): _describe_bit_generator,
    ("numpy", "SeedSequence"): _describe_bit_generator,
    ("numpy", "RandomState"): _describe_random_state,
    ("pandas", "DataFrame"): _describe_frame,
    ("pandas", "Series"): _describe_series,
    ("pandas", "Index"): _describe_index,
    ("pandas", "MultiIndex"): _describe_multi_index,
    ("pandas", "Categorical"): _describe_categorical,
    ("pandas", "BaseMaskedArray"): _describe_masked_column,
    ("pandas", "DatetimeLikeArrayMixin"): _describe_datetimes,
    ("pandas", "NumpyExtensionArray"): _describe_numpy_column,
    ("pandas", "ExtensionArray"): _describe_extension_array,
    ("pandas", "Timestamp"): _describe_timestamp,
    ("pandas", "Timedelta"): _describe_timedelta,
    ("pandas", "NaTType"): lambda _: Parts("pandas.NaT", {}),
    ("pandas", "ExtensionDtype"): _describe_extension_dtype,
    ("pandas", "CategoricalDtype"): _describe_categorical_dtype,
    ("scipy", "_data_matrix"): _describe_sparse,
    ("torch", "Tensor"): _describe_tensor,
    ("torch", "Generator"): _describe_torch_generator,
}
