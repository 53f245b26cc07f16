#include "device_array.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "dlpack.h"

namespace nearfield::bindings {
namespace {

struct NamedType {
    const char* name;
    DlType type;
    const char* typestr;  // null: the interface has none
};

constexpr std::array<NamedType, 9> kTypes = {{
    {"float32", {2, 32, 1}, "<f4"},
    {"float16", {2, 16, 1}, "<f2"},
    {"bfloat16", {4, 16, 1}, nullptr},
    {"int8", {0, 8, 1}, "|i1"},
    {"uint8", {1, 8, 1}, "|u1"},
    {"int64", {0, 64, 1}, "<i8"},
    {"int32", {0, 32, 1}, "<i4"},
    {"bool", {6, 8, 1}, "|b1"},
    {"float64", {2, 64, 1}, "<f8"},
}};

const NamedType& type_named(const std::string& name) {
    for (const NamedType& type : kTypes) {
        if (name == type.name) return type;
    }
    throw py::value_error("dtype: got '" + name + "', which no device array has");
}

std::string name_of(DlType wanted) {
    for (const NamedType& type : kTypes) {
        if (type.type.code == wanted.code && type.type.bits == wanted.bits && wanted.lanes == 1) {
            return type.name;
        }
    }
    return "DLPack type " + std::to_string(wanted.code) + " of " + std::to_string(wanted.bits) +
           " bits";
}

/// What an exported tensor keeps alive.
struct Exported {
    std::shared_ptr<cuda::DeviceBuffer> memory;
    std::vector<std::int64_t> shape;
    std::vector<std::int64_t> strides;
};

void describe(DlTensor& tensor, Exported& kept, const NamedType& type) {
    const cuda::DeviceBuffer& memory = *kept.memory;
    kept.strides.assign(kept.shape.size(), 1);
    for (std::size_t i = kept.shape.size(); i-- > 1;) {
        kept.strides[i - 1] = kept.strides[i] * kept.shape[i];
    }
    tensor.data = reinterpret_cast<void*>(static_cast<std::uintptr_t>(memory.address()));
    tensor.device = {kDlCuda, memory.stream().device->ordinal()};
    tensor.ndim = static_cast<std::int32_t>(kept.shape.size());
    tensor.dtype = type.type;
    tensor.shape = kept.shape.data();
    tensor.strides = kept.strides.data();
    tensor.byte_offset = 0;
}

template <class Managed>
Managed* managed(Exported kept, const NamedType& type) {
    auto owned = std::make_unique<Exported>(std::move(kept));
    auto out = std::make_unique<Managed>();
    describe(out->tensor, *owned, type);
    out->context = owned.release();
    out->deleter = [](Managed* self) {
        delete static_cast<Exported*>(self->context);
        delete self;
    };
    return out.release();
}

/// A consumer renames the capsule; one that nobody consumed is freed with it.
template <class Managed>
void free_unused(PyObject* capsule, const char* name) {
    if (PyCapsule_IsValid(capsule, name) == 0) return;
    auto* tensor = static_cast<Managed*>(PyCapsule_GetPointer(capsule, name));
    tensor->deleter(tensor);
}

constexpr const char* kOld = "dltensor";
constexpr const char* kNew = "dltensor_versioned";

py::capsule capsule_of(void* tensor, const char* name, PyCapsule_Destructor destructor) {
    PyObject* made = PyCapsule_New(tensor, name, destructor);
    if (made == nullptr) throw py::error_already_set();
    return py::reinterpret_steal<py::capsule>(made);
}

/// DLPack: None and 1 are the legacy stream, 2 the thread's, -1 asks for no order at all.
void order_for_consumer(const cuda::StreamRef& producer, const py::object& stream) {
    const long long consumer = stream.is_none() ? 1 : stream.cast<long long>();
    if (consumer == -1) return;
    if (consumer < 1) {
        throw py::value_error("stream: got " + std::to_string(consumer) +
                              ", expected None, -1, 1, 2 or a stream's handle");
    }
    const cuda::StreamRef other =
        stream_of(producer.device->ordinal(), static_cast<std::uintptr_t>(consumer));
    other.check_alive();
    other.wait_for(producer);
}

template <class Managed>
py::tuple opened(const py::capsule& capsule, const char* name, const char* used) {
    auto* tensor = static_cast<Managed*>(PyCapsule_GetPointer(capsule.ptr(), name));
    if (tensor == nullptr) throw py::error_already_set();
    // From here on it is ours to free.
    if (PyCapsule_SetName(capsule.ptr(), used) != 0) throw py::error_already_set();
    const py::capsule keeper(tensor, [](void* kept) {
        auto* owned = static_cast<Managed*>(kept);
        if (owned->deleter != nullptr) owned->deleter(owned);
    });
    const DlTensor& t = tensor->tensor;
    py::list shape;
    py::list strides;
    for (std::int32_t i = 0; i < t.ndim; ++i) {
        shape.append(t.shape[i]);
        if (t.strides != nullptr) strides.append(t.strides[i]);
    }
    const auto address = reinterpret_cast<std::uintptr_t>(t.data) + t.byte_offset;
    return py::make_tuple(address, t.device.type, t.device.id, name_of(t.dtype), py::tuple(shape),
                          t.strides != nullptr ? py::object(py::tuple(strides)) : py::none(),
                          keeper);
}

}  // namespace

cuda::StreamRef stream_of(int device, std::uintptr_t handle) {
    return {&cuda::Device::at(device), reinterpret_cast<cuda::CUstream>(handle)};
}

DeviceArray::DeviceArray(const std::vector<py::ssize_t>& shape, std::string dtype, int device,
                         std::uintptr_t stream)
    : shape_(shape.begin(), shape.end()), dtype_(std::move(dtype)) {
    std::size_t bytes = type_named(dtype_).type.bits / 8;
    for (const auto n : shape_) bytes *= static_cast<std::size_t>(n);
    const py::gil_scoped_release release;
    memory_ = std::make_shared<cuda::DeviceBuffer>(stream_of(device, stream), bytes);
}

py::capsule DeviceArray::dlpack(const py::object& stream, const py::object& max_version,
                                const py::object& dl_device, const py::object& copy) const {
    if (!copy.is_none() && copy.cast<bool>()) {
        throw py::buffer_error("copy: got True, expected False or None: copy what comes out");
    }
    if (!dl_device.is_none() && !dl_device.equal(py::make_tuple(kDlCuda, device()))) {
        throw py::buffer_error("dl_device: the array is on cuda:" + std::to_string(device()));
    }
    order_for_consumer(memory_->stream(), stream);
    const NamedType& type = type_named(dtype_);
    const bool is_new = !max_version.is_none() && max_version[py::int_(0)].cast<int>() >= 1;
    if (!is_new) {
        return capsule_of(managed<DlManaged>({memory_, shape_, {}}, type), kOld,
                          [](PyObject* c) { free_unused<DlManaged>(c, kOld); });
    }
    auto* tensor = managed<DlManagedVersioned>({memory_, shape_, {}}, type);
    tensor->major = 1;
    tensor->minor = 0;
    tensor->flags = 0;
    return capsule_of(tensor, kNew, [](PyObject* c) { free_unused<DlManagedVersioned>(c, kNew); });
}

py::dict DeviceArray::cuda_array_interface() const {
    const NamedType& type = type_named(dtype_);
    if (type.typestr == nullptr) {
        throw py::attribute_error("__cuda_array_interface__ has no " + dtype_ +
                                  "; use __dlpack__, e.g. torch.from_dlpack(x)");
    }
    py::tuple shape(shape_.size());
    for (std::size_t i = 0; i < shape_.size(); ++i) shape[i] = shape_[i];
    py::dict d;
    d["shape"] = shape;
    d["typestr"] = type.typestr;
    d["data"] = py::make_tuple(address(), false);
    d["version"] = 3;
    d["strides"] = py::none();
    // 0 is not allowed here: the legacy stream is called 1.
    const auto stream = reinterpret_cast<std::uintptr_t>(memory_->stream().handle);
    d["stream"] = stream != 0 ? stream : 1;
    return d;
}

DeviceArray DeviceArray::reshaped(const std::vector<py::ssize_t>& shape) const {
    const auto elements = [](const auto& sizes) {
        std::int64_t product = 1;
        for (const auto size : sizes) product *= size;
        return product;
    };
    const bool is_shape = std::all_of(shape.begin(), shape.end(), [](auto n) { return n >= 0; });
    if (!is_shape || elements(shape) != elements(shape_)) {
        throw py::value_error("reshape: expected a shape of " + std::to_string(elements(shape_)) +
                              " elements");
    }
    DeviceArray other(*this);
    other.shape_.assign(shape.begin(), shape.end());
    return other;
}

py::array DeviceArray::numpy() const {
    const std::string carrier = dtype_ == "bfloat16" ? "uint16" : dtype_;
    py::array out(py::dtype(carrier), std::vector<py::ssize_t>(shape_.begin(), shape_.end()));
    void* const to = out.mutable_data();
    const py::gil_scoped_release release;
    cuda::copy_to_host(stream(), to, address(), bytes());
    stream().synchronize();
    return out;
}

py::tuple open_dlpack(const py::capsule& capsule) {
    if (PyCapsule_IsValid(capsule.ptr(), kNew) != 0) {
        const auto* tensor =
            static_cast<DlManagedVersioned*>(PyCapsule_GetPointer(capsule.ptr(), kNew));
        if (tensor->major != 1) {  // the capsule is not used up: it frees what it holds
            throw py::buffer_error("__dlpack__ gave a tensor of DLPack " +
                                   std::to_string(tensor->major) + ", expected 1 or older");
        }
        return opened<DlManagedVersioned>(capsule, kNew, "used_dltensor_versioned");
    }
    if (PyCapsule_IsValid(capsule.ptr(), kOld) != 0) {
        return opened<DlManaged>(capsule, kOld, "used_dltensor");
    }
    throw py::type_error("__dlpack__ gave a capsule that is no DLPack tensor or is used up");
}

}  // namespace nearfield::bindings
