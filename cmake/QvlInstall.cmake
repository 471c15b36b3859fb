# What cmake --install gives programs that use the library: headers, archives, and the package find_package(qvl) finds.
include(CMakePackageConfigHelpers)
set(package ${CMAKE_INSTALL_LIBDIR}/cmake/qvl)

get_property(modules GLOBAL PROPERTY QVL_MODULES)
install(TARGETS qvl ${modules} qvl_compile_options EXPORT qvlTargets
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT devel)
install(EXPORT qvlTargets NAMESPACE qvl:: DESTINATION ${package} COMPONENT devel)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/qvl DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT devel
  FILES_MATCHING PATTERN "*.h")

configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/qvlConfig.cmake.in ${PROJECT_BINARY_DIR}/qvlConfig.cmake
  INSTALL_DESTINATION ${package})
# Before 1.0 a minor version may change the interface.
write_basic_package_version_file(${PROJECT_BINARY_DIR}/qvlConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/qvlConfig.cmake ${PROJECT_BINARY_DIR}/qvlConfigVersion.cmake
  ${CMAKE_CURRENT_LIST_DIR}/QvlLibraries.cmake DESTINATION ${package} COMPONENT devel)
