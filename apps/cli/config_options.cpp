#include "config_options.h"

#include "options.h"

namespace qvl::cli {

SystemOptimizationConfig ConfigArgs::config() const {
  auto config = SystemOptimizationConfig::for_this_machine();
  if (!file.empty()) config = read_config(file, config);
  for (const auto& [field, text] : values) set_from_text(*field, text, config);
  return config;
}

void add_config_file(CLI::App& command, ConfigArgs& args) {
  add_name(command, "--config", args.file, "FILE", "a JSON file with fields of the system configuration")
      ->group("System");
}

void add_config(CLI::App& command, ConfigArgs& args) {
  add_config_file(command, args);
  for (const ConfigField& field : config_fields()) {
    const std::string name = option_name(field);
    command
        .add_option_function<std::string>(
            name,
            [name, &field, &args](const std::string& text) {
              SystemOptimizationConfig ignored;
              if (!set_from_text(field, text, ignored)) {
                throw CLI::ValidationError(name, "found " + quoted(text) + ", expected " + expected(field));
              }
              args.values.emplace_back(&field, text);
            },
            std::string(field.description) + ", " + expected(field))
        ->type_name("VALUE")
        ->group("System");
  }
}

}  // namespace qvl::cli
