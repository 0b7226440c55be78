//! The `#[task]` attribute of [executor-engine](https://docs.rs/executor-engine). Use it through
//! that crate.

use std::hash::{DefaultHasher, Hash, Hasher};

use proc_macro::TokenStream;
use proc_macro2::TokenStream as Tokens;
use quote::{format_ident, quote};
use syn::spanned::Spanned;
use syn::{Attribute, FnArg, ItemFn, LitStr, Path, ReturnType, Type};

/// Makes a function callable by name in worker processes.
///
/// See `executor_engine::task` for the documentation.
#[proc_macro_attribute]
pub fn task(options: TokenStream, item: TokenStream) -> TokenStream {
    let function = syn::parse_macro_input!(item as ItemFn);
    let mut expansion = Expansion { name: None, krate: syn::parse_quote!(::executor_engine) };
    let parser = syn::meta::parser(|meta| expansion.option(&meta));
    syn::parse_macro_input!(options with parser);
    expansion.expand(function).unwrap_or_else(syn::Error::into_compile_error).into()
}

struct Expansion {
    name: Option<LitStr>,
    krate: Path,
}

impl Expansion {
    fn option(&mut self, meta: &syn::meta::ParseNestedMeta<'_>) -> syn::Result<()> {
        if meta.path.is_ident("name") {
            self.name = Some(meta.value()?.parse()?);
            Ok(())
        } else if meta.path.is_ident("crate") {
            self.krate = meta.value()?.parse()?;
            Ok(())
        } else {
            Err(meta.error("unknown option: #[task] takes `name = \"..\"` and `crate = path`"))
        }
    }

    fn expand(self, mut function: ItemFn) -> syn::Result<Tokens> {
        check(&function)?;
        let fingerprint = fingerprint(&function);
        let krate = &self.krate;
        let ident = function.sig.ident.clone();
        let vis = function.vis.clone();
        let (docs, rest): (Vec<Attribute>, Vec<Attribute>) = std::mem::take(&mut function.attrs)
            .into_iter()
            .partition(|attr| attr.path().is_ident("doc") || attr.path().is_ident("deprecated"));
        let (cfgs, rest): (Vec<Attribute>, Vec<Attribute>) =
            rest.into_iter().partition(|attr| attr.path().is_ident("cfg"));
        function.attrs = rest;
        function.vis = syn::Visibility::Inherited;
        function.sig.ident = format_ident!("__task_function");

        let types =
            function.sig.inputs.iter().map(argument_type).collect::<syn::Result<Vec<_>>>()?;
        let names: Vec<_> = (0..types.len()).map(|i| format_ident!("arg{i}")).collect();
        let returned: Type = match &function.sig.output {
            ReturnType::Default => syn::parse_quote!(()),
            ReturnType::Type(_, ty) => (**ty).clone(),
        };
        let (result, call) = if is_result(&returned) {
            (
                quote!(<#returned as #krate::__private::TaskReturn>::Value),
                quote!(#krate::__private::TaskReturn::into_result(__task_function(#(#names),*))),
            )
        } else {
            (quote!(#returned), quote!(::core::result::Result::Ok(__task_function(#(#names),*))))
        };
        let name = match &self.name {
            Some(name) => quote!(#name),
            None => {
                let plain = ident.to_string();
                let plain = plain.strip_prefix("r#").unwrap_or(&plain);
                quote!(::core::concat!(::core::module_path!(), "::", #plain))
            }
        };

        Ok(quote! {
            #(#docs)*
            #(#cfgs)*
            #[allow(non_camel_case_types)]
            #[derive(Clone, Copy, Debug)]
            #vis struct #ident;

            #(#cfgs)*
            #[allow(clippy::needless_pass_by_value)]
            const _: () = {
                #function

                static FUNCTION: fn(#(#types),*) -> #returned = __task_function;

                impl ::core::ops::Deref for #ident {
                    type Target = fn(#(#types),*) -> #returned;

                    fn deref(&self) -> &Self::Target {
                        &FUNCTION
                    }
                }

                impl #krate::Callable<(#(#types,)*)> for #ident {
                    type Output = #result;

                    fn call(
                        &self,
                        (#(#names,)*): (#(#types,)*),
                    ) -> ::core::result::Result<#result, #krate::JobError> {
                        #call
                    }
                }

                impl #krate::Task for #ident {
                    type Args = (#(#types,)*);
                    type Result = #result;

                    fn definition(&self) -> &'static #krate::__private::TaskDef {
                        &DEFINITION
                    }
                }

                #[#krate::__private::linkme::distributed_slice(#krate::__private::TASKS)]
                #[linkme(crate = #krate::__private::linkme)]
                static ENTRY: #krate::__private::TaskDef = entry();

                static DEFINITION: #krate::__private::TaskDef = entry();

                const fn entry() -> #krate::__private::TaskDef {
                    #krate::__private::TaskDef::new(#name, #fingerprint, |args, out| {
                        #krate::__private::run_encoded(#ident, args, out)
                    })
                }
            };
        })
    }
}

/// What cannot be a task, with the reason and the cure.
fn check(function: &ItemFn) -> syn::Result<()> {
    let sig = &function.sig;
    let refuse = |span, text: &str| Err(syn::Error::new(span, text));
    if let Some(token) = &sig.asyncness {
        return refuse(token.span(), "a task runs to its end in a worker: it cannot be async");
    }
    if let Some(token) = &sig.unsafety {
        return refuse(token.span(), "a task is called by the engine: it cannot be unsafe");
    }
    if !sig.generics.params.is_empty() {
        return refuse(
            sig.generics.span(),
            "a task has one name for one function: it cannot be generic. Write a task per type",
        );
    }
    if let Some(variadic) = &sig.variadic {
        return refuse(variadic.span(), "a task takes a fixed number of arguments");
    }
    if sig.inputs.len() > 12 {
        return refuse(
            sig.inputs.span(),
            "a task takes at most 12 arguments: gather some into a struct",
        );
    }
    Ok(())
}

fn argument_type(argument: &FnArg) -> syn::Result<Type> {
    match argument {
        FnArg::Receiver(receiver) => Err(syn::Error::new(
            receiver.span(),
            "a task is a free function: take the value as an ordinary argument",
        )),
        FnArg::Typed(typed) => match &*typed.ty {
            Type::Reference(reference) => Err(syn::Error::new(
                reference.span(),
                "arguments travel to another process: take an owned value (`String` for `&str`, \
                 `Vec<T>` for `&[T]`)",
            )),
            Type::ImplTrait(ty) => Err(syn::Error::new(ty.span(), "name the argument's type")),
            ty => Ok(ty.clone()),
        },
    }
}

/// Whether the type is written as some `Result`.
fn is_result(ty: &Type) -> bool {
    matches!(ty, Type::Path(path)
        if path.path.segments.last().is_some_and(|segment| segment.ident == "Result"))
}

/// A hash of the function's tokens.
fn fingerprint(function: &ItemFn) -> u64 {
    let mut hasher = DefaultHasher::new();
    quote!(#function).to_string().hash(&mut hasher);
    hasher.finish()
}
