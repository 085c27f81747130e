#pragma once

#include <exception>
#include <memory>
#include <new>
#include <span>
#include <vector>

#include "failure.h"

/// The ABI's edge for a plug-in made of three classes: opaque handles ↔ classes, exceptions → codes.
///
///   class Runtime { Runtime(const leadsman_host*, std::span<const leadsman_option>);
///                   const std::string& version() const; };
///   class Model   { Model(Runtime&, const leadsman_load_spec&);
///                   std::span<const leadsman_named_signature> signatures() const; };
///   class Context { Context(const Model&, size_t signature);
///                   std::span<const leadsman_tensor> Execute(std::span<const leadsman_tensor>); };
///
/// Constructors and Execute may throw Failure and std::exception. One file of the plug-in says
///   LEADSMAN_PLUGIN_CLASSES(my::Runtime, my::Model, my::Context)
///   const leadsman_backend_api* leadsman_backend_entry(uint32_t) {
///     static const char* const formats[] = {"mine"};
///     static const leadsman_backend_api api = leadsman_plugin::Table("mine", formats);
///     return &api;
///   }
#define LEADSMAN_PLUGIN_CLASSES(RuntimeClass, ModelClass, ContextClass) \
  struct leadsman_backend {                                             \
    RuntimeClass runtime;                                               \
  };                                                                    \
  struct leadsman_model {                                               \
    ModelClass model;                                                   \
  };                                                                    \
  struct leadsman_context {                                             \
    ContextClass context;                                               \
  };

namespace leadsman_plugin {

template <typename Body>
leadsman_code Fenced(leadsman_error* error, Body body) {
  try {
    body();
    return LEADSMAN_OK;
  } catch (const Failure& failure) {
    return leadsman_error_set(error, failure.code, failure.text.c_str());
  } catch (const std::bad_alloc&) {
    return leadsman_error_set(error, LEADSMAN_RESOURCE_EXHAUSTED, "out of memory");
  } catch (const std::exception& unexpected) {
    return leadsman_error_set(error, LEADSMAN_INTERNAL, unexpected.what());
  }
}

// Templates, so that the opaque types are complete only where the table is made.
template <typename Backend, typename Model, typename Context>
leadsman_backend_api MakeTable(const char* name, std::span<const char* const> formats) {
  leadsman_backend_api api{};
  api.abi_version = LEADSMAN_BACKEND_ABI_VERSION;
  api.struct_size = sizeof api;
  api.name = name;
  api.formats = formats.data();
  api.format_count = formats.size();
  api.start = [](const leadsman_host* host, const leadsman_option* options, size_t count,
                 Backend** backend, leadsman_error* error) {
    return Fenced(error, [&] { *backend = new Backend{{host, {options, count}}}; });
  };
  api.stop = [](Backend* backend) { delete backend; };
  api.runtime_version = [](const Backend* backend) { return backend->runtime.version().c_str(); };
  api.load = [](Backend* backend, const leadsman_load_spec* spec, Model** model,
                leadsman_error* error) {
    return Fenced(error, [&] { *model = new Model{{backend->runtime, *spec}}; });
  };
  api.unload = [](Model* model) { delete model; };
  api.signature = [](const Model* model) { return &model->model.signatures()[0].signature; };
  api.new_context = [](Model* model, Context** context, leadsman_error* error) {
    return Fenced(error, [&] { *context = new Context{{model->model, 0}}; });
  };
  api.free_context = [](Context* context) { delete context; };
  api.execute = [](Context* context, const leadsman_tensor* inputs, size_t input_count,
                   const leadsman_tensor** outputs, size_t* output_count, leadsman_error* error) {
    return Fenced(error, [&] {
      std::span<const leadsman_tensor> tensors = context->context.Execute({inputs, input_count});
      *outputs = tensors.data();
      *output_count = tensors.size();
    });
  };
  api.signature_count = [](const Model* model) { return model->model.signatures().size(); };
  api.signatures = [](const Model* model) { return model->model.signatures().data(); };
  api.new_context_for = [](Model* model, size_t index, Context** context, leadsman_error* error) {
    return Fenced(error, [&] { *context = new Context{{model->model, index}}; });
  };
  return api;
}

template <typename = void>
leadsman_backend_api Table(const char* name, std::span<const char* const> formats) {
  return MakeTable<leadsman_backend, leadsman_model, leadsman_context>(name, formats);
}

}  // namespace leadsman_plugin
