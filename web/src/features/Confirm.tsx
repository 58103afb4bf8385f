/** Grave deeds ask for the password once more; what was begun goes on by itself afterwards. */
import { Button, PasswordInput, TextInput } from "@mantine/core";
import { type FormEvent, useState } from "react";
import { api } from "../client/api";
import { Failure } from "../ui/parts";

export function Confirm({ onConfirmed }: { onConfirmed: () => void }) {
  const [password, setPassword] = useState("");
  const [code, setCode] = useState("");
  const confirm = api.useMutation("post", "/api/v1/session/confirm", { onSuccess: onConfirmed });
  const send = (event: FormEvent) => {
    event.preventDefault();
    event.stopPropagation();
    confirm.mutate({ body: { password, code } });
  };
  return (
    <form className="form" onSubmit={send}>
      <PasswordInput label="Your password, once more" value={password} onChange={(e) => setPassword(e.currentTarget.value)} required autoFocus />
      <TextInput label="Code, if you have an authenticator" inputMode="numeric" value={code} onChange={(e) => setCode(e.currentTarget.value)} />
      {confirm.error && <Failure error={confirm.error} />}
      <Button type="submit" variant="light" loading={confirm.isPending}>
        Confirm
      </Button>
    </form>
  );
}
