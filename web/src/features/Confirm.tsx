/** Grave deeds ask for the password once more; what was begun goes on by itself afterwards. */
import { Button, PasswordInput, TextInput } from "@mantine/core";
import { useState } from "react";
import { api, placed } from "../client/api";
import { Failure, Form } from "../ui/parts";

export function Confirm({ onConfirmed }: { onConfirmed: () => void }) {
  const [password, setPassword] = useState("");
  const [code, setCode] = useState("");
  const confirm = api.useMutation("post", "/api/v1/session/confirm", { onSuccess: onConfirmed });
  const { at, rest } = placed(confirm.error, ["password", "code"]);
  return (
    <Form error={confirm.error} onSend={() => confirm.mutate({ body: { password, code } })}>
      <PasswordInput label="Your password, once more" value={password} onChange={(e) => setPassword(e.currentTarget.value)} error={at.password} required autoFocus />
      <TextInput label="Code, if you have an authenticator" inputMode="numeric" value={code} onChange={(e) => setCode(e.currentTarget.value)} error={at.code} />
      <Failure error={rest} />
      <Button type="submit" variant="light" loading={confirm.isPending}>
        Confirm
      </Button>
    </Form>
  );
}
