# What packaging/buildroot/sockmux.mk wants of Buildroot, as far as its recipes can be run without the rest. TREE: sources, TARGET_DIR
# (on the command line): the root of the machine to be.
TARGET_MAKE_ENV = PATH=$(PATH)
TARGET_CONFIGURE_OPTS = CC=target-cc CXX=target-c++ STRIP=true CXXFLAGS="-Dfrom_buildroot" LDFLAGS="-Lfrom_buildroot"
INSTALL = install

define generic-package
$(foreach word,VERSION SITE LICENSE LICENSE_FILES,$(if $(SOCKMUX_$(word)),,$(error SOCKMUX_$(word) is missing)))
endef

include packaging/buildroot/sockmux.mk

# @D is the folder of the target.
$(TREE)/.built:
	$(SOCKMUX_BUILD_CMDS)
$(TREE)/.target_installed:
	$(SOCKMUX_INSTALL_TARGET_CMDS)
$(TREE)/.init_systemd:
	$(SOCKMUX_INSTALL_INIT_SYSTEMD)
$(TREE)/.init_openrc:
	$(SOCKMUX_INSTALL_INIT_OPENRC)
$(TREE)/.init_sysv:
	$(SOCKMUX_INSTALL_INIT_SYSV)
tell-version:
	@echo '$(SOCKMUX_VERSION)'
tell-dependencies:
	@echo '$(SOCKMUX_DEPENDENCIES)'
