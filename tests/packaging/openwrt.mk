# What packaging/openwrt wants of OpenWrt's rules.mk and package.mk, as far as a recipe can be run without the rest. TREE: sources,
# OUT: where the packages' files go, BUILD_VARIANT: which of them.
INSTALL_DIR = install -d -m0755
INSTALL_BIN = install -m0755
INSTALL_CONF = install -m0600
PKG_BUILD_DIR = $(TREE)
# As include/package-defaults.mk has them
MAKE_FLAGS = CC=target-cc CXX=target-c++ STRIP=true CROSS=target- ARCH=mips

# Package NAME is asked for what OpenWrt asks for, and told on its way.
define BuildPackage
$(eval DEPENDS:=) $(eval CONFLICTS:=)
$(eval $(Package/$(1)))
$(foreach word,SECTION CATEGORY TITLE URL VARIANT,$(if $($(word)),,$(error Package/$(1): no $(word))))
$(foreach word,description conffiles install,$(if $(Package/$(1)/$(word)),,$(error Package/$(1)/$(word) is missing)))
.PHONY: install-$(1) tell-$(1)
install-$(1):
	$(call Package/$(1)/install,$(OUT))
tell-$(1):
	@echo '$(VARIANT) $(DEPENDS)'
endef

default: compile
compile:
	CXXFLAGS=-Dfrom_openwrt LDFLAGS=-Lfrom_openwrt $(MAKE) -C $(PKG_BUILD_DIR) $(MAKE_FLAGS)
tell-version:
	@echo '$(PKG_VERSION)'
