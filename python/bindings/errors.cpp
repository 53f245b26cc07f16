#include "errors.h"

#include <cstring>
#include <string>

#include "base/error.h"
#include "base/interrupt.h"

namespace nearfield::bindings {
namespace {

namespace py = pybind11;

/// Text that may hold a file name, whose bytes need not be UTF-8: decoded as os.fsdecode does.
py::object text_of(const std::string& bytes) {
    return py::reinterpret_steal<py::object>(PyUnicode_DecodeUTF8(
        bytes.data(), static_cast<py::ssize_t>(bytes.size()), "surrogateescape"));
}

void raise_named(const char* name, const char* message) {
    const py::object type = py::module_::import("nearfield.errors").attr(name);
    PyErr_SetObject(type.ptr(), text_of(message).ptr());
}

void raise_os_error(const IoError& error) {
    const py::object type = py::module_::import("builtins").attr("OSError");
    const py::object value = type(error.code, text_of(error.what()), text_of(error.path));
    PyErr_SetObject(PyExc_OSError, value.ptr());
}

void translate(std::exception_ptr pending) {
    try {
        if (pending) std::rethrow_exception(pending);
    } catch (const CorruptFile& error) {
        raise_named("CorruptFileError", error.what());
    } catch (const NotTrained& error) {
        raise_named("NotTrainedError", error.what());
    } catch (const DeviceError& error) {
        raise_named("DeviceError", error.what());
    } catch (const IoError& error) {
        raise_os_error(error);
    } catch (const Interrupted&) {
        // The hook left the handler's own exception (KeyboardInterrupt, mostly) set.
        if (PyErr_Occurred() == nullptr) PyErr_SetNone(PyExc_KeyboardInterrupt);
    }
}

/// Runs Python's pending signal handlers; true when one of them raised.
bool python_wants_stop() {
    // After finalisation started, taking the GIL would end this thread.
    if (Py_IsInitialized() == 0) return false;
    const py::gil_scoped_acquire gil;
    return PyErr_CheckSignals() != 0;
}

}  // namespace

void bind_errors(py::module_& module) {
    (void)module;
    py::register_exception_translator(translate);
    set_interrupt_hook(python_wants_stop);
}

}  // namespace nearfield::bindings
